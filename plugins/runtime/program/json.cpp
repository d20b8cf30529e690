#include "json.h"

#include <cmath>
#include <cstdio>

namespace program {

std::string json(const std::string &text) {
    std::string quoted = "\"";
    for (const char letter : text) {
        const auto byte = static_cast<unsigned char>(letter);
        if (letter == '"' || letter == '\\') {
            quoted += '\\';
            quoted += letter;
        } else if (byte < 0x20) {
            char escaped[8];
            std::snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
            quoted += escaped;
        } else {
            quoted += letter;
        }
    }
    return quoted + "\"";
}

std::string json(const char *text) { return json(std::string(text)); }

std::string json(double number) {
    if (!std::isfinite(number)) return "null";
    char text[32];
    std::snprintf(text, sizeof(text), "%.9g", number);
    return text;
}

std::string json(uint64_t number) { return std::to_string(number); }

std::string json(bool value) { return value ? "true" : "false"; }

std::string json(const std::vector<int64_t> &numbers) {
    std::vector<std::string> values;
    for (const int64_t number : numbers) values.push_back(std::to_string(number));
    return json_list(values);
}

std::string json_list(const std::vector<std::string> &values) {
    std::string text = "[";
    for (const std::string &value : values) text += (text.size() == 1 ? "" : ", ") + value;
    return text + "]";
}

JsonObject &JsonObject::add_raw(const char *key, const std::string &value) {
    members_ += (members_.empty() ? "" : ", ") + json(key) + ": " + value;
    return *this;
}

}  // namespace program
