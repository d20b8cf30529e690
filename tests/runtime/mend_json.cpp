// mend_json text|another: reads standard input and writes it as attnrt's program writes a text, or another's JSON.
#include "json.h"

#include <cstring>
#include <iostream>
#include <iterator>

int main(int, char **words) {
    const std::string given{std::istreambuf_iterator<char>(std::cin), {}};
    std::cout << (std::strcmp(words[1], "text") == 0 ? program::json(given) : program::json_of_another(given));
}
