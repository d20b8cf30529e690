// The command line: one file, and options with or without a value.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace program {

struct Option {
    const char *name;  // as "--plugins"
    bool takes_value;
};

class Arguments {
  public:
    // Throws an Error that names what is wrong: an unknown option, a missing value, not exactly one file.
    Arguments(const std::vector<std::string> &given, const char *file, const std::vector<Option> &options);

    const std::string &file() const { return file_; }
    bool has(const char *option) const;

    // The last value of an option. Throws an Error where it has to be there.
    std::optional<std::string> value(const char *option) const;
    std::string required(const char *option) const;

    std::vector<std::string> values(const char *option) const;

    // A whole number of at least 1. Throws an Error.
    std::optional<long> count(const char *option) const;

  private:
    struct Given {
        std::string option, value;
    };

    std::string file_;
    std::vector<Given> given_;
};

}  // namespace program
