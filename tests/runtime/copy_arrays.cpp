// copy_arrays IN OUT NAME...: reads arrays with attnrt's own code and writes them with it.
#include "array_files.h"

#include <cstdio>
#include <exception>

int main(int count, char **words) {
    try {
        const std::vector<std::string> names(words + 3, words + count);
        const std::vector<program::NamedArray> arrays = program::read_arrays(words[1], names);
        program::write_arrays(words[2], arrays);
        for (const program::NamedArray &named : arrays)
            std::printf("%s %s %s\n", named.name.c_str(), program::name_of(named.array.dtype),
                        program::text_of(named.array.shape).c_str());
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
    return 0;
}
