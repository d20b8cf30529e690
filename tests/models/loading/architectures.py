"""Models of torch.nn alone, with nearly every layer and loss that a file may hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnexport.models.audit.shapes import words

Model = tuple[nn.Module, tuple[Any, ...]]


class Calls(nn.Module):
    """Applies a function that uses the parts of this module by name."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


class InTurn(nn.Module):
    """Every layer on the same input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> list[Any]:
        return [layer(*inputs) for layer in self.layers]


def convolutions() -> Model:
    modes = ("zeros", "reflect", "replicate", "circular")
    padded = [nn.Conv2d(4, 4, 3, padding=1, padding_mode=mode) for mode in modes]
    others = [
        nn.Conv2d(4, 8, 3, stride=2, dilation=2, groups=4, padding="valid"),
        nn.Conv2d(4, 8, (3, 5), padding="same", bias=False),
        nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1),
        nn.Sequential(nn.ReflectionPad2d(2), nn.ReplicationPad2d(1), nn.ZeroPad2d(1), nn.ConstantPad2d(1, 0.5)),
        nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2)),
        nn.Sequential(nn.Unfold(2), nn.Fold((8, 8), 2)),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
    ]
    return InTurn(*padded, *others), (torch.randn(2, 4, 8, 8),)


def convolutions_of_lines_and_volumes() -> Model:
    line = InTurn(nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"), nn.ConvTranspose1d(4, 2, 3))
    volume = InTurn(nn.Conv3d(4, 2, 2, padding=1, padding_mode="replicate"), nn.ConvTranspose3d(4, 2, 2))
    model = Calls(lambda self, x, y: (self.line(x), self.volume(y)), line=line, volume=volume)
    return model, (torch.randn(2, 4, 8), torch.randn(2, 4, 4, 4, 4))


def pooling() -> Model:
    layers = [
        nn.MaxPool2d(2, return_indices=True),
        nn.MaxPool2d(3, stride=1, padding=1, dilation=1, ceil_mode=True),
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        nn.AdaptiveAvgPool2d((3, 1)),
        nn.AdaptiveMaxPool2d(2, return_indices=True),
        nn.LPPool2d(2, 2),
    ]
    unpooled = Calls(
        lambda self, x: self.unpool(*self.pool(x)), pool=nn.MaxPool2d(2, return_indices=True), unpool=nn.MaxUnpool2d(2)
    )
    return InTurn(*layers, unpooled), (torch.randn(2, 4, 8, 8),)


def pooling_of_lines_and_volumes() -> Model:
    line = InTurn(
        nn.MaxPool1d(2, return_indices=True), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(3), nn.AdaptiveMaxPool1d(2)
    )
    volume = InTurn(nn.MaxPool3d(2, return_indices=True), nn.AvgPool3d(2), nn.AdaptiveAvgPool3d(1))
    model = Calls(lambda self, x, y: (self.line(x), self.volume(y)), line=line, volume=volume)
    return model, (torch.randn(2, 4, 8), torch.randn(2, 4, 4, 4, 4))


def norms() -> Model:
    layers = [
        nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.LayerNorm([4, 8, 8]),
        nn.RMSNorm([8]),
        nn.LocalResponseNorm(2),
        nn.Dropout2d(),
        nn.BatchNorm2d(4, track_running_stats=False),
    ]
    return InTurn(*layers), (torch.randn(2, 4, 8, 8),)


def recurrent() -> Model:
    layers = [
        nn.LSTM(4, 8, num_layers=2, bidirectional=True, batch_first=True),
        nn.LSTM(4, 8, proj_size=3),
        nn.GRU(4, 8, num_layers=2),
        nn.RNN(4, 8, nonlinearity="relu"),
    ]
    cells = Calls(
        lambda self, x: (self.lstm(x[0]), self.gru(x[0]), self.rnn(x[0])),
        lstm=nn.LSTMCell(4, 8),
        gru=nn.GRUCell(4, 8),
        rnn=nn.RNNCell(4, 8),
    )
    return InTurn(*layers, cells), (torch.randn(2, 5, 4),)


def transformer() -> Model:
    return nn.Transformer(8, 2, 1, 1, 16, batch_first=True), (torch.randn(2, 5, 8), torch.randn(2, 4, 8))


def attention() -> Model:
    def run(self: Calls, x: Tensor, mask: Tensor) -> Any:
        weighted = self.attention(x, x, x, key_padding_mask=mask)
        causal = self.attention(x, x, x, attn_mask=torch.ones(5, 5).triu(1).bool(), need_weights=False)[0]
        encoded = self.encoder(x, src_key_padding_mask=mask)
        return weighted, causal, encoded, F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.5)

    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True), 1)
    parts = {"attention": nn.MultiheadAttention(8, 2, batch_first=True), "encoder": encoder}
    return Calls(run, **parts), (torch.randn(2, 5, 8), torch.zeros(2, 5).bool())


def embeddings() -> Model:
    def run(self: Calls, ids: Tensor, offsets: Tensor) -> Any:
        rows = ids.view(2, -1)
        return self.table(rows), self.sums(rows), self.means(ids, offsets), self.maxima(rows), F.one_hot(rows, 10)

    parts = {
        "table": nn.Embedding(10, 4, padding_idx=0),
        "sums": nn.EmbeddingBag(10, 4, mode="sum"),
        "means": nn.EmbeddingBag(10, 4, mode="mean", padding_idx=1),
        "maxima": nn.EmbeddingBag(10, 4, mode="max"),
    }
    return Calls(run, **parts), (torch.tensor([1, 2, 9, 4, 0, 3]), torch.tensor([0, 3]))


def resampling() -> Model:
    modes = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")

    def run(self: Calls, x: Tensor, grid: Tensor) -> Any:
        scaled = [F.interpolate(x, scale_factor=1.5, mode=mode) for mode in modes]
        sized = [F.interpolate(x, size=(5, 7), mode=mode, antialias=True) for mode in ("bilinear", "bicubic")]
        sampled = [
            F.grid_sample(x, grid, mode, pad, False)
            for mode in ("bilinear", "nearest", "bicubic")
            for pad in ("zeros", "border", "reflection")
        ]
        lines = F.interpolate(x[0], scale_factor=2, mode="linear", align_corners=True)
        volume = F.interpolate(x[None], scale_factor=2.0, mode="trilinear")
        return scaled, sized, sampled, lines, volume, F.affine_grid(torch.ones(2, 2, 3), [2, 4, 5, 5])

    return Calls(run), (torch.randn(2, 4, 8, 8), torch.rand(2, 3, 3, 2))


def fourier() -> Model:
    def run(self: Calls, x: Tensor) -> Any:
        spectrum = torch.fft.rfft2(x, norm="ortho")
        window = torch.hann_window(8)
        frames = torch.stft(x.flatten(1), 8, 4, window=window, return_complex=True)
        waves = torch.istft(frames, 8, 4, window=window)
        other = torch.fft.ifft(torch.fft.fft(x, dim=0)).real, torch.fft.fftshift(x), torch.fft.hfft(spectrum)
        return torch.fft.irfft2(spectrum * 2, norm="ortho"), torch.view_as_real(frames), waves, spectrum.abs(), other

    return Calls(run), (torch.randn(2, 4, 8),)


def products() -> Model:
    def run(self: Calls, x: Tensor) -> Any:
        y = torch.einsum("bij,bkj->bik", x, x) + torch.baddbmm(x @ x.mT, x, x.mT)
        z = (
            torch.tensordot(x, x, dims=([2], [2])),
            torch.cdist(x, x),
            torch.linalg.norm(x, dim=-1),
            torch.kron(x[0], x[0]),
        )
        return (
            y,
            z,
            self.bilinear(x, x),
            F.cosine_similarity(x, x, dim=-1),
            torch.linalg.det(y),
            torch.cross(x[..., :3], x[..., 1:4], dim=-1),
        )

    return Calls(run, bilinear=nn.Bilinear(6, 6, 2)), (torch.randn(2, 4, 6),)


def activations() -> Model:
    names = words("""
        CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 RReLU SELU
        SiLU Sigmoid Softmax Softmin Softplus Softshrink Softsign Tanh Tanhshrink LogSoftmax Dropout AlphaDropout
        Identity
    """)
    options: dict[str, Any] = {"Softmax": {"dim": -1}, "Softmin": {"dim": -1}, "LogSoftmax": {"dim": -1}}
    layers = [getattr(nn, name)(**options.get(name, {})) for name in sorted(names)]
    return InTurn(*layers, nn.GLU(), nn.Threshold(0.1, 0.2), nn.Flatten()), (torch.randn(2, 4, 6),)


def losses() -> Model:
    def run(self: Calls, x: Tensor, y: Tensor, target: Tensor) -> Any:
        pairs = [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.kl_div, F.binary_cross_entropy_with_logits]
        pairs += [F.soft_margin_loss, F.poisson_nll_loss, F.multilabel_soft_margin_loss, F.hinge_embedding_loss]
        computed = [loss(x, y) for loss in pairs]
        chosen = [
            F.cross_entropy(x, target, label_smoothing=0.1),
            F.nll_loss(x, target),
            F.multi_margin_loss(x, target),
        ]
        near = F.triplet_margin_loss(x, y, x + 1), F.cosine_embedding_loss(x, y, torch.ones(3))
        return computed, chosen, near, F.binary_cross_entropy(x.sigmoid(), y.sigmoid())

    return Calls(run), (torch.randn(3, 5), torch.randn(3, 5), torch.tensor([0, 4, 2]))


def indexing() -> Model:
    def run(self: Calls, x: Tensor, ids: Tensor) -> Any:
        y = x.clone()
        y[:, ids] = 0.5
        y.index_add_(1, ids, x[:, :3])
        y.scatter_(1, ids[None].expand(2, 3), 1.0)
        parts = (
            x.topk(2)[0],
            x.sort(descending=True)[1],
            x.argsort(),
            x.cumsum(-1),
            x.unique(),
            x.nonzero(),
            x.kthvalue(2)[0],
        )
        taken = (
            x.gather(1, ids[None]),
            x.take_along_dim(ids[None], 1),
            x.index_select(1, ids),
            x[x > 0],
            x.median(-1)[0],
        )
        bins = (
            torch.bucketize(x, torch.arange(4.0)),
            torch.bincount(ids),
            torch.histc(x),
            torch.repeat_interleave(ids, 2),
        )
        return (
            y,
            parts,
            taken,
            bins,
            x.masked_fill(x > 0, 0),
            torch.where(x > 0, x, 0),
            x.tril(),
            x.roll(1, 0),
            x.flip(1),
        )

    return Calls(run), (torch.randn(2, 6), torch.tensor([5, 0, 2]))


def shapes() -> Model:
    def run(self: Calls, x: Tensor) -> Any:
        y = x.reshape(2, -1).unflatten(1, (4, 6)).movedim(0, 1).contiguous()
        z = (
            y.as_strided((2, 3), (6, 1), 1),
            y.unfold(2, 3, 2),
            y.diagonal(0, 0, 1),
            torch.diag_embed(x[0]),
            y.tile(1, 2, 1),
        )
        joined = torch.cat([y, y], 1), torch.stack([y, y]), torch.hstack([y, y]), torch.block_diag(x[0], x[1])
        made = torch.zeros_like(y), y.new_ones(3), torch.eye(3), torch.linspace(0, 1, 5), torch.empty_like(y).fill_(1)
        return (
            y.chunk(2),
            z,
            joined,
            made,
            y.to(torch.float64).sum(),
            y.std(-1),
            y.var((0, 1)),
            y.norm(),
            y.logsumexp(-1),
        )

    return Calls(run), (torch.randn(2, 4, 6),)


ARCHITECTURES = (
    convolutions,
    convolutions_of_lines_and_volumes,
    pooling,
    pooling_of_lines_and_volumes,
    norms,
    recurrent,
    transformer,
    attention,
    embeddings,
    resampling,
    fourier,
    products,
    activations,
    losses,
    indexing,
    shapes,
)
