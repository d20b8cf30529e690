#include "npy_header.h"

#include "errors.h"

#include <cctype>
#include <limits>

namespace program {
namespace {

// Reads one thing after the other.
class Reader {
  public:
    explicit Reader(const std::string &text) : text_(text) {}

    bool take(char wanted) {
        skip_space();
        if (position_ >= text_.size() || text_[position_] != wanted) return false;
        ++position_;
        return true;
    }

    void expect(char wanted) {
        if (!take(wanted)) fail();
    }

    std::string string() {
        skip_space();
        const char quote = position_ < text_.size() ? text_[position_] : '\0';
        if (quote != '\'' && quote != '"') fail();
        const size_t end = text_.find(quote, position_ + 1);
        if (end == std::string::npos) fail();
        const std::string found = text_.substr(position_ + 1, end - position_ - 1);
        position_ = end + 1;
        return found;
    }

    bool boolean() {
        skip_space();
        for (const bool value : {true, false}) {
            const std::string word = value ? "True" : "False";
            if (text_.compare(position_, word.size(), word) != 0) continue;
            position_ += word.size();
            return value;
        }
        fail();
    }

    int64_t size() {
        skip_space();
        int64_t number = 0;
        bool any = false;
        for (; position_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[position_])); ++position_) {
            if (number > std::numeric_limits<int64_t>::max() / 10 - 1) fail();
            number = number * 10 + (text_[position_] - '0');
            any = true;
        }
        if (!any) fail();
        return number;
    }

    std::vector<int64_t> shape() {
        std::vector<int64_t> sizes;
        expect('(');
        while (!take(')')) {
            sizes.push_back(size());
            if (!take(',')) {
                expect(')');
                break;
            }
        }
        return sizes;
    }

    bool at_end() {
        skip_space();
        return position_ == text_.size();
    }

    [[noreturn]] static void fail() { throw Error("expected the header of a .npy file, given another"); }

  private:
    void skip_space() {
        while (position_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[position_]))) ++position_;
    }

    const std::string &text_;
    size_t position_ = 0;
};

}  // namespace

NpyHeader parse_npy_header(const std::string &text) {
    Reader reader(text);
    NpyHeader header;
    int found = 0;
    reader.expect('{');
    while (!reader.take('}')) {
        const std::string key = reader.string();
        reader.expect(':');
        if (key == "descr") {
            header.descr = reader.string();
            found |= 1;
        } else if (key == "fortran_order") {
            header.fortran_order = reader.boolean();
            found |= 2;
        } else if (key == "shape") {
            header.shape = reader.shape();
            found |= 4;
        } else {
            Reader::fail();
        }
        if (!reader.take(',')) {
            reader.expect('}');
            break;
        }
    }
    if (found != 7 || !reader.at_end()) Reader::fail();
    return header;
}

}  // namespace program
