#include "arguments.h"

#include "errors.h"

#include <algorithm>
#include <charconv>

namespace program {

Arguments::Arguments(const std::vector<std::string> &given, const char *file, const std::vector<Option> &options) {
    for (size_t index = 0; index < given.size(); ++index) {
        const std::string &word = given[index];
        if (word.empty() || word[0] != '-') {
            if (!file_.empty()) throw Error(word + ": expected one " + file + ", given a second");
            file_ = word;
            continue;
        }
        const auto option =
            std::find_if(options.begin(), options.end(), [&](const Option &known) { return word == known.name; });
        if (option == options.end()) throw Error(word + ": no such option; attnrt --help shows them");
        if (option->takes_value && index + 1 == given.size()) throw Error(word + ": expected a value, given none");
        given_.push_back({word, option->takes_value ? given[++index] : ""});
    }
    if (file_.empty()) throw Error(std::string("expected ") + file + ", given none; attnrt --help shows more");
}

bool Arguments::has(const char *option) const {
    return std::any_of(given_.begin(), given_.end(), [&](const Given &one) { return one.option == option; });
}

std::optional<std::string> Arguments::value(const char *option) const {
    const std::vector<std::string> all = values(option);
    return all.empty() ? std::nullopt : std::optional(all.back());
}

std::string Arguments::required(const char *option) const {
    const std::optional<std::string> found = value(option);
    if (!found) throw Error(std::string(option) + ": expected a value, given none");
    return *found;
}

std::vector<std::string> Arguments::values(const char *option) const {
    std::vector<std::string> found;
    for (const Given &one : given_)
        if (one.option == option) found.push_back(one.value);
    return found;
}

std::optional<long> Arguments::count(const char *option) const {
    const std::optional<std::string> text = value(option);
    if (!text) return std::nullopt;
    long number = 0;
    const char *end = text->data() + text->size();
    const auto parsed = std::from_chars(text->data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end || number < 1)
        throw Error(std::string(option) + ": expected a whole number of at least 1, given " + *text);
    return number;
}

}  // namespace program
