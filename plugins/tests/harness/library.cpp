#include "library.h"

#include <dlfcn.h>

#include <stdexcept>

namespace harness {

Library::Library(const std::string &path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
    const auto abi = reinterpret_cast<int32_t (*)()>(find("attnexport_abi"));
    const auto table = reinterpret_cast<const attnexport_op *const *(*)(int32_t *)>(find("attnexport_ops"));
    if (abi == nullptr || table == nullptr || find("attnexport_build_info") == nullptr)
        throw std::runtime_error(path + " does not export the functions of op.h");
    if (abi() != ATTNEXPORT_ABI) throw std::runtime_error(path + " has another ABI");
    int32_t count = 0;
    const attnexport_op *const *ops = table(&count);
    ops_.assign(ops, ops + count);
}

const attnexport_op &Library::op(const std::string &name) const {
    for (const attnexport_op *op : ops_)
        if (name == op->name) return *op;
    throw std::runtime_error("the library has no operator " + name);
}

void *Library::find(const char *symbol) const { return dlsym(handle_, symbol); }

}  // namespace harness
