// Writes JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace program {

// A value as JSON text. Bytes of a text that are not UTF-8 become question marks.
std::string json(const std::string &text);
std::string json(const char *text);
std::string json(double number);
std::string json(uint64_t number);
std::string json(bool value);
std::string json(const std::vector<int64_t> &numbers);

// Values that are JSON text already.
std::string json_list(const std::vector<std::string> &values);

// JSON that another library wrote, as JSON: control characters inside its texts are escaped and nan becomes null.
// What is not whole becomes one text.
std::string json_of_another(const std::string &text);

class JsonObject {
  public:
    template <class Value>
    JsonObject &add(const char *key, const Value &value) {
        return add_raw(key, json(value));
    }
    JsonObject &add_raw(const char *key, const std::string &value);

    std::string text() const { return "{" + members_ + "}"; }

  private:
    std::string members_;
};

}  // namespace program
