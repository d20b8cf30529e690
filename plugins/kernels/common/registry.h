// Every kernel file puts its operator into the library's table by a static object.
#pragma once

#include <attnexport/op.h>
#include <common/instantiations.h>

namespace attnexport {

class Registration {
  public:
    explicit Registration(const attnexport_op &op);
};

template <int kInputs, int kAttributes>
constexpr attnexport_op describe(const char *name, const attnexport_input (&inputs)[kInputs],
                                 const attnexport_attribute (&attributes)[kAttributes],
                                 int (*workspace)(const attnexport_call *, size_t *),
                                 int (*launch)(const attnexport_call *, void *, size_t, void *)) {
    return attnexport_op{name, inputs, kInputs, attributes, kAttributes, kDtypes, workspace, launch};
}

}  // namespace attnexport
