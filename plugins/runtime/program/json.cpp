#include "json.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace program {
namespace {

unsigned char byte_at(const std::string &text, size_t place) {
    return place < text.size() ? static_cast<unsigned char>(text[place]) : 0;
}

// Bytes of the UTF-8 character that begins there; 0 where none does.
size_t utf8_length(const std::string &text, size_t place) {
    const unsigned char first = byte_at(text, place);
    if (first < 0x80) return 1;
    const size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    for (size_t next = 1; next < length; ++next)
        if ((byte_at(text, place + next) & 0xc0) != 0x80) return 0;
    const unsigned char second = byte_at(text, place + 1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool beyond = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
    return overlong || beyond ? 0 : length;
}

// Adds the character that begins there as it stands inside a text of JSON; returns where the next begins.
size_t add_character(std::string &quoted, const std::string &text, size_t place) {
    const unsigned char byte = byte_at(text, place);
    if (byte < 0x20) {
        char escaped[8];
        std::snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
        quoted += escaped;
        return place + 1;
    }
    const size_t length = utf8_length(text, place);
    quoted += length == 0 ? "?" : text.substr(place, length);
    return place + std::max<size_t>(length, 1);
}

// Adds the text of JSON that begins with the quote there; returns where it ends, npos where it does not.
size_t add_text(std::string &mended, const std::string &text, size_t place) {
    mended += text[place++];
    while (place < text.size()) {
        if (text[place] == '"') {
            mended += '"';
            return place + 1;
        }
        if (text[place] == '\\') {
            const bool escapes = place + 1 < text.size() && std::strchr("\"\\/bfnrtu", text[place + 1]) != nullptr;
            mended += escapes ? text.substr(place, 2) : "\\\\";
            place += escapes ? 2 : 1;
            continue;
        }
        place = add_character(mended, text, place);
    }
    return std::string::npos;
}

bool of_a_word(char letter) {
    return std::isalnum(static_cast<unsigned char>(letter)) != 0 ||
           (letter != '\0' && std::strchr("+-._()", letter) != nullptr);
}

// The word as JSON: nan, inf and other numbers that JSON does not have are null.
std::string number_or_null(const std::string &word) {
    const bool constant = word == "true" || word == "false";
    const bool number = word.find_first_not_of("+-.0123456789eE") == std::string::npos;
    return constant || number ? word : "null";
}

}  // namespace

std::string json(const std::string &text) {
    std::string quoted = "\"";
    for (size_t place = 0; place < text.size();) {
        if (text[place] == '"' || text[place] == '\\') {
            quoted += '\\';
            quoted += text[place++];
        } else {
            place = add_character(quoted, text, place);
        }
    }
    return quoted + "\"";
}

std::string json_of_another(const std::string &text) {
    std::string mended, open;
    for (size_t place = 0; place < text.size();) {
        const char letter = text[place];
        if (letter == '"') {
            place = add_text(mended, text, place);
            if (place == std::string::npos) return json(text);
        } else if (of_a_word(letter)) {
            const size_t start = place;
            while (place < text.size() && of_a_word(text[place])) ++place;
            mended += number_or_null(text.substr(start, place - start));
        } else {
            if (letter == '{' || letter == '[') open += letter == '{' ? '}' : ']';
            if (letter == '}' || letter == ']') {
                if (open.empty() || open.back() != letter) return json(text);
                open.pop_back();
            }
            if (std::strchr("{}[],: \t\r\n", letter) == nullptr || letter == '\0') return json(text);
            mended += letter;
            ++place;
        }
    }
    return open.empty() && !mended.empty() ? mended : json(text);
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
