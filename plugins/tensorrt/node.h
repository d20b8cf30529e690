// What a plugin knows of its node. Never changes, so that all clones share it.
#pragma once

#include "input_layout.h"

#include <memory>
#include <utility>

namespace attnexport {

constexpr char kNamespace[] = "attnexport";
constexpr char kVersion[] = "1";

struct Node {
    Node(const attnexport_op &operation, Attributes values)
        : op(operation), attributes(std::move(values)), inputs(op, attributes), description(attributes.describe()) {}

    const attnexport_op &op;
    const Attributes attributes;
    const InputLayout inputs;
    const std::string description;
};

using NodePointer = std::shared_ptr<const Node>;

}  // namespace attnexport
