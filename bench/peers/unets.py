"""U-Nets whose blocks are MONAI's: the residual U-Net of the specialised models, and UNETR's decoder on a ConvNeXt V2.

Parameters are named as in the package, whose blocks have MONAI's names.
"""

from monai.networks.blocks.dynunet_block import UnetResBlock, get_conv_layer
from monai.networks.blocks.unetr_block import UnetrUpBlock
from torch import nn
from torch.nn import functional

from convnext_v2 import ChannelNorm, ConvNeXtV2


def residual(channels: int, out: int):
    return UnetResBlock(3, channels, out, kernel_size=3, stride=1, norm_name="instance")


def up(channels: int, out: int):
    return UnetrUpBlock(3, channels, out, kernel_size=3, upsample_kernel_size=2, norm_name="instance", res_block=True)


class UNet(nn.Module):
    """[N, channels, D, H, W] -> [N, outputs, D, H, W]; the axes are multiples of 2^(levels - 1)."""

    def __init__(self, channels: int, outputs: int, features: int, levels: int):
        super().__init__()
        self.levels = levels
        width = channels
        for level in range(levels):
            setattr(self, f"down{level}", residual(width, features << level))
            width = features << level
        for level in reversed(range(levels - 1)):
            setattr(self, f"up{level}", up(width, width // 2))
            width //= 2
        self.out = nn.Conv3d(width, outputs, 1)

    def forward(self, x):
        skips = []
        for level in range(self.levels):
            if level > 0:
                x = functional.max_pool3d(x, 2)
            x = getattr(self, f"down{level}")(x)
            skips.append(x)
        for level in reversed(range(self.levels - 1)):
            x = getattr(self, f"up{level}")(x, skips[level])
        return self.out(x)


class Named(nn.Module):
    """A module that holds another under a name, as MONAI's blocks do."""

    def __init__(self, name: str, module: nn.Module):
        super().__init__()
        self.add_module(name, module)


class Stages(ConvNeXtV2):
    """The maps behind the four stages."""

    def forward(self, x):
        maps = []
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
            maps.append(x)
        return maps


class Unetr(nn.Module):
    """[N, channels, D, H, W] -> [N, outputs, D, H, W]; the axes are multiples of 16."""

    def __init__(self, channels: int, depths, dims, features: int, outputs: int):
        super().__init__()
        self.encoder = Stages(channels, depths, dims)
        for stage in range(3):
            setattr(self, f"norm{stage + 1}", ChannelNorm(dims[stage]))
        self.decoder = nn.Module()
        self.decoder.encoder1 = Named("layer", residual(channels, features))
        for stage in range(3):
            conv = get_conv_layer(
                3, dims[stage], features << (stage + 1), kernel_size=2, stride=2, conv_only=True, is_transposed=True
            )
            setattr(self.decoder, f"encoder{stage + 2}", Named("transp_conv_init", conv))
        widths = [dims[3], 8 * features, 4 * features, 2 * features, features]
        for level in range(4):
            setattr(self.decoder, f"decoder{5 - level}", up(widths[level], widths[level + 1]))
        self.decoder.out = Named("conv", Named("conv", nn.Conv3d(features, outputs, 1)))

    def forward(self, volume):
        maps = self.encoder(volume)
        x = self.encoder.norm(maps[3].movedim(1, -1)).movedim(-1, 1)
        decoder = self.decoder
        for level in range(3):
            stage = 2 - level
            skip = getattr(decoder, f"encoder{stage + 2}").transp_conv_init(getattr(self, f"norm{stage + 1}")(maps[stage]))
            x = getattr(decoder, f"decoder{5 - level}")(x, skip)
        return decoder.out.conv.conv(decoder.decoder2(x, decoder.encoder1.layer(volume)))


