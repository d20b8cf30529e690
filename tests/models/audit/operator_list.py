"""Where exporter/models/audit/operators.txt comes from: `python -m tests.models.audit.operator_list` writes it anew.

The list is core ATen, what torch.onnx translates, the operators of this package, and by name what torch.export
writes for honest programs before it decomposes them. From these everything is taken out that could serve an
attacker and no honest program: see `refused` and CAUGHT.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.ao.quantization.fx._decomposed
from torch._ops import OpOverload

import attnexport.models.audit
import attnexport.variants
from attnexport.models.audit.shapes import words

LIST = Path(attnexport.models.audit.__file__).with_name("operators.txt")

# Elementwise, and their names in place.
_POINTWISE = """
    abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin
    asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
    ceil celu clamp clamp_max clamp_min clip conj_physical copysign cos cosh deg2rad digamma div divide elu eq erf
    erfc erfinv exp exp2 expm1 fill fix float_power floor floor_divide fmax fmin fmod frac frexp gcd ge gelu greater
    greater_equal gt hardshrink hardsigmoid hardswish hardtanh heaviside hypot i0 igamma igammac isclose isfinite
    isinf isnan isneginf isposinf isreal ldexp le leaky_relu lerp less less_equal lgamma log log10 log1p log2
    log_sigmoid logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt masked_fill maximum
    minimum mish mul multiply nan_to_num ne neg negative nextafter not_equal polar polygamma positive pow prelu
    rad2deg reciprocal relu relu6 remainder round rsqrt rsub selu sgn sigmoid sign signbit silu sin sinc sinh
    softplus softshrink special_entr special_erf special_erfc special_erfcx special_erfinv special_exp2
    special_expit special_expm1 special_gammaln special_i0 special_i0e special_i1 special_i1e special_log1p
    special_log_ndtr special_logit special_ndtr special_ndtri special_polygamma special_round special_sinc
    special_xlog1py special_xlogy sqrt square sub subtract tan tanh threshold true_divide trunc where xlogy __and__
    __iand__ __ilshift__ __ior__ __irshift__ __ixor__ __lshift__ __or__ __rshift__ __xor__
"""
_REDUCTIONS = """
    all allclose amax amin aminmax any argmax argmin count_nonzero cov cummax cummin cumprod cumsum
    cumulative_trapezoid diff dist equal frobenius_norm gradient is_nonzero kthvalue linalg_norm linalg_vector_norm
    linalg_matrix_norm log_softmax logcumsumexp logsumexp max mean median min mode nanmean nanmedian nanquantile
    nansum norm nuclear_norm prod quantile softmax special_log_softmax special_logsumexp special_softmax std
    std_mean sum trapezoid trapz var var_mean
"""
_SHAPES = """
    adjoint alias atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors broadcast_to cartesian_prod cat
    chunk clone column_stack concat concatenate conj contiguous copy detach diag diag_embed diagflat diagonal
    diagonal_scatter dsplit dstack expand expand_as flatten flip fliplr flipud hsplit hstack imag lift lift_fresh
    lift_fresh_copy mH mT matrix_H meshgrid moveaxis movedim narrow numpy_T pad_sequence permute pixel_shuffle
    pixel_unshuffle channel_shuffle native_channel_shuffle ravel real repeat reshape reshape_as resolve_conj
    resolve_neg roll rot90 row_stack select select_scatter slice slice_scatter split split_with_sizes squeeze stack
    swapaxes swapdims t tensor_split tile to transpose tril triu type_as unbind unflatten unfold unsafe_chunk
    unsafe_split unsafe_split_with_sizes unsqueeze view view_as view_as_complex view_as_real vsplit vstack zero
    sum_to_size _to_copy _unsafe_view arange blackman_window bartlett_window empty empty_like empty_permuted eye
    full full_like hamming_window hann_window kaiser_window linspace logspace new_empty new_empty_strided new_full
    new_ones new_zeros one_hot ones ones_like scalar_tensor tril_indices triu_indices vander zeros zeros_like
    sym_numel sym_size sym_storage_offset sym_stride item is_floating_point is_complex
"""
_INDEXING = """
    argsort argwhere bincount bucketize gather histc index index_add index_copy index_fill index_put index_reduce
    index_select isin masked_scatter masked_select msort nonzero nonzero_numpy nonzero_static put repeat_interleave
    scatter scatter_add scatter_reduce searchsorted sort take take_along_dim topk unique_consecutive unique_dim
    _unique2 _unsafe_index _unsafe_index_put
"""
_PRODUCTS = """
    addbmm addmm addmv addr baddbmm bilinear bmm cdist chain_matmul cosine_similarity cross dot einsum ger inner
    kron linear matmul mm mv outer pairwise_distance pdist tensordot trace vdot _trilinear _euclidean_dist det
    logdet slogdet linalg_cross linalg_det linalg_diagonal linalg_matmul linalg_multi_dot linalg_slogdet
    linalg_vander linalg_vecdot _linalg_det _linalg_slogdet fft_fft fft_fft2 fft_fftfreq fft_fftn fft_fftshift
    fft_hfft fft_hfft2 fft_hfftn fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_ihfft fft_ihfft2 fft_ihfftn
    fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftfreq fft_rfftn istft stft _fft_c2c _fft_c2r _fft_r2c
"""
_LAYERS = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d affine_grid_generator alpha_dropout avg_pool1d
    avg_pool2d avg_pool3d batch_norm col2im constant_pad_nd conv1d conv2d conv3d conv_tbc conv_transpose1d
    conv_transpose2d conv_transpose3d convolution _convolution dropout embedding embedding_bag _embedding_bag
    _embedding_bag_forward_only feature_alpha_dropout feature_dropout glu grid_sampler grid_sampler_2d
    grid_sampler_3d group_norm gru gru_cell im2col instance_norm layer_norm lstm lstm_cell max_pool1d
    max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool2d
    max_unpool3d native_batch_norm native_dropout native_group_norm native_layer_norm _native_batch_norm_legit
    _native_batch_norm_legit_functional _native_batch_norm_legit_no_training _batch_norm_with_update_functional pad
    _pad_circular _pad_enum reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d rms_norm _fused_rms_norm rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell rrelu rrelu_with_noise
    rrelu_with_noise_functional scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu
    _safe_softmax _softmax _log_softmax upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d norm_except_dim _weight_norm
    fake_quantize_per_channel_affine fake_quantize_per_tensor_affine fake_quantize_per_channel_affine_cachemask
    fake_quantize_per_tensor_affine_cachemask _fake_quantize_learnable_per_channel_affine
    _fake_quantize_learnable_per_tensor_affine binary_cross_entropy binary_cross_entropy_with_logits
    cosine_embedding_loss cross_entropy_loss hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss
    mse_loss multi_margin_loss multilabel_margin_loss nll_loss nll_loss_forward nll_loss2d nll_loss2d_forward
    nll_loss_nd poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss bernoulli exponential
    multinomial normal normal_functional poisson rand rand_like randint randint_like randn randn_like random
    randperm uniform
"""
_CHECKS = """
    _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async _functional_assert_scalar
    sym_constrain_range sym_constrain_range_for_size
"""
FAMILIES = words(" ".join([_POINTWISE, _REDUCTIONS, _SHAPES, _INDEXING, _PRODUCTS, _LAYERS, _CHECKS]))
"""Names in aten of which every overload is a candidate, also in place (`add` and `add_`)."""
_IN_FAMILIES = frozenset(name + suffix for name in FAMILIES for suffix in ("", "_"))

CAUGHT = {
    "aten::gru.data": "trusts the sizes of its batches",
    "aten::lstm.data": "trusts the sizes of its batches",
    "aten::resize_": "gives a tensor any size",
    "aten::rnn_relu.data": "trusts the sizes of its batches",
    "aten::rnn_tanh.data": "trusts the sizes of its batches",
    "prims::resize": "gives a tensor any size",
}
"""Operators of the candidates that tests/loading/probe_operators.py saw crash or read outside their tensors."""

_NAMESPACES = ("aten", "prims", "quantized_decomposed")
_VALUES = re.compile(
    r"(Tensor|int|float|bool|complex|number|Scalar|SymInt|SymFloat|SymBool|Device|ScalarType|Layout|MemoryFormat)"
)
# What a text may mean for an operator: a mode or a message, never the name of a file.
_TEXTS = words("""
    UPLO approximate assert_msg driver equation indexing interpolation mode norm ord p pad_mode padding padding_side
    reduce rounding_mode side
    """)


def refused(overload: OpOverload) -> str | None:
    """Why no program may call this overload, None where nothing speaks against it."""
    arguments = overload._schema.arguments
    if any(argument.is_out for argument in arguments):
        return "writes into a tensor of any size (out=)"
    if "backward" in overload.name():
        return "trusts what the forward pass saved"
    if any(argument.name == "unsafe" for argument in arguments):
        return "can be told not to check"
    for argument in arguments:
        kind = re.sub(r"Optional\[(.*)\]", r"\1", str(argument.real_type))
        if kind in ("str", "List[str]"):
            if argument.name not in _TEXTS:
                return f"takes a text, {argument.name}"
        elif kind != "Generator" and not _VALUES.fullmatch(re.sub(r"List\[(.*)\]", r"\1", kind)):
            return f"takes a {kind}"
    return CAUGHT.get(overload.name())


def derived() -> list[str]:
    """The list as the installed torch gives it."""
    translated = _translated()
    return sorted(
        str(overload)
        for namespace in _NAMESPACES
        for overload in _overloads(namespace)
        if _is_candidate(overload, translated) and refused(overload) is None
    )


def _is_candidate(overload: OpOverload, translated: set[str]) -> bool:
    namespace, _, name = overload._schema.name.partition("::")
    return (
        torch.Tag.core in overload.tags
        or overload.name() in translated
        or (namespace == "aten" and name in _IN_FAMILIES)
    )


def _overloads(namespace: str) -> Iterator[OpOverload]:
    packets = getattr(torch.ops, namespace)
    for qualified in torch._C._dispatch_get_all_op_names():
        name, _, overload = qualified.partition(".")
        if name.startswith(f"{namespace}::"):
            yield getattr(getattr(packets, name.partition("::")[2]), overload or "default")


def _translated() -> set[str]:
    """What torch.onnx has a translation for, as `aten::add.Tensor`."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    logging.disable(logging.WARNING)  # one warning for each package that is not installed
    registry = ONNXRegistry.from_torchlib()
    logging.disable(logging.NOTSET)
    return {target for target in registry.functions if isinstance(target, str)}


if __name__ == "__main__":
    LIST.write_text("".join(f"{name}\n" for name in derived()))
