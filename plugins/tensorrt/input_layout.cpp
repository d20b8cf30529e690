#include "input_layout.h"

#include "diagnostics.h"

#include <cstring>

namespace attnexport {

InputLayout::InputLayout(const attnexport_op &op, const Attributes &attributes) {
    for (int index = 0; index < op.num_inputs; ++index) {
        const attnexport_input &input = op.inputs[index];
        if (std::strcmp(input.name, "v") == 0) value_ = most();
        if (input.count_attribute == nullptr) {
            names_.push_back(input.name);
        } else {
            const int attribute = attributes.find(input.count_attribute);
            const int64_t count = attribute < 0 ? 0 : attributes[attribute].integer;
            if (count < 1)
                throw Error(std::string("attribute ") + input.count_attribute + ": expected at least 1, given " +
                            std::to_string(count));
            for (int64_t tensor = 0; tensor < count; ++tensor)
                names_.push_back(std::string(input.name) + "_" + std::to_string(tensor));
        }
        if (!input.is_length) required_ = most();
    }
    if (value_ < 0) throw Error("the operator has no input named v");
}

void InputLayout::check_count(int count) const {
    if (count >= required_ && count <= most()) return;
    std::string expected;
    for (int place = 0; place < most(); ++place)
        expected += (place == 0 ? "" : ", ") + names_[place] + (is_length(place) ? " (optional)" : "");
    throw Error("expected the inputs " + expected + "; given " + std::to_string(count));
}

}  // namespace attnexport
