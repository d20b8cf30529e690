#include "shared_library.h"

#include "errors.h"

#include <dlfcn.h>

namespace attnrt {
namespace {

std::string loader_error() {
    const char *said = dlerror();
    return said == nullptr ? "unknown reason" : said;
}

}  // namespace

SharedLibrary::SharedLibrary(const std::string &folder, const std::string &name)
    : path_(folder.empty() ? name : folder + "/" + name), handle_(dlopen(path_.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
    if (handle_ == nullptr) throw Error("cannot be opened: " + loader_error());
}

bool SharedLibrary::has(const char *name) const { return dlsym(handle_, name) != nullptr; }

void *SharedLibrary::address(const char *name) const {
    void *found = dlsym(handle_, name);
    if (found == nullptr) throw Error(path_ + ": has no symbol " + name);
    return found;
}

}  // namespace attnrt
