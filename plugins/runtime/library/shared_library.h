// A library opened at run time, and its symbols.
#pragma once

#include <string>

namespace attnrt {

class SharedLibrary {
  public:
    // Opens `name` from `folder`, or from where the dynamic loader finds it if `folder` is empty, and keeps it open
    // for as long as the process lives. Its symbols serve libraries opened later. Throws an Error.
    SharedLibrary(const std::string &folder, const std::string &name);

    const std::string &path() const { return path_; }

    // Throws an Error if there is no such symbol.
    template <class Function>
    Function symbol(const char *name) const {
        return reinterpret_cast<Function>(address(name));
    }

    bool has(const char *name) const;

  private:
    void *address(const char *name) const;

    std::string path_;
    void *handle_;
};

}  // namespace attnrt
