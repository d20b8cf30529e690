#include "files.h"

#include "errors.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace program {
namespace {

struct Close {
    void operator()(std::FILE *file) const { std::fclose(file); }
};

using File = std::unique_ptr<std::FILE, Close>;

[[noreturn]] void fail(const std::string &path, const char *what) {
    throw Error(path + ": " + what + ": " + std::strerror(errno));
}

bool is_folder(const std::string &path) {
    struct stat facts{};
    return stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

std::string folder_of(const std::string &path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// A file that vanishes unless it is renamed.
class Staged {
  public:
    explicit Staged(const std::string &target) : target_(target), path_(target + ".XXXXXX") {
        const int descriptor = mkstemp(path_.data());
        if (descriptor < 0) fail(target, "cannot be written");
        // mkstemp grants nobody else anything; an output has the usual permissions.
        const mode_t mask = umask(0);
        umask(mask);
        fchmod(descriptor, 0666 & ~mask);
        file_.reset(fdopen(descriptor, "wb"));
        if (file_ == nullptr) fail(target, "cannot be written");
    }
    ~Staged() {
        if (!path_.empty()) unlink(path_.c_str());
    }
    Staged(const Staged &) = delete;
    Staged &operator=(const Staged &) = delete;

    void write(const void *data, size_t bytes) {
        if (std::fwrite(data, 1, bytes, file_.get()) != bytes) fail(target_, "cannot be written");
    }

    void commit() {
        if (std::fclose(file_.release()) != 0) fail(target_, "cannot be written");
        if (std::rename(path_.c_str(), target_.c_str()) != 0) fail(target_, "cannot be written");
        path_.clear();
    }

  private:
    std::string target_, path_;
    File file_;
};

}  // namespace

bool exists(const std::string &path) { return access(path.c_str(), F_OK) == 0; }

Bytes read_file(const std::string &path) {
    if (is_folder(path)) throw Error(path + ": expected a file, given a folder");
    const File file(std::fopen(path.c_str(), "rb"));
    if (file == nullptr) fail(path, "cannot be read");
    if (fseeko(file.get(), 0, SEEK_END) != 0) fail(path, "cannot be read");
    const off_t size = ftello(file.get());
    if (size < 0 || fseeko(file.get(), 0, SEEK_SET) != 0) fail(path, "cannot be read");
    Bytes content(static_cast<size_t>(size));
    if (std::fread(content.data(), 1, content.size(), file.get()) != content.size()) fail(path, "cannot be read");
    return content;
}

void check_output(const std::string &path) {
    if (is_folder(path)) throw Error(path + ": expected a file to write, given a folder");
    const std::string folder = folder_of(path);
    if (!is_folder(folder)) throw Error(path + ": expected an existing folder to write into, given " + folder);
    if (access(folder.c_str(), W_OK | X_OK) != 0) fail(path, "cannot be written");
}

void check_output(const std::string &path, const std::vector<std::string> &inputs) {
    check_output(path);
    struct stat output{}, input{};
    if (stat(path.c_str(), &output) != 0) return;
    for (const std::string &given : inputs)
        if (stat(given.c_str(), &input) == 0 && input.st_dev == output.st_dev && input.st_ino == output.st_ino)
            throw Error(path + ": expected another name for the output, given the input " + given);
}

void write_file(const std::string &path, const void *data, size_t bytes) {
    check_output(path);
    Staged staged(path);
    staged.write(data, bytes);
    staged.commit();
}

}  // namespace program
