"""What the real sae-lens makes of folders, and folders it makes itself. Run by its own Python; knows nothing of ours.

    python saelens_side.py FOLDER

FOLDER/input.safetensors holds a stream, `h`. Every FOLDER/ours/NAME is loaded, and what it makes of the stream is
written to FOLDER/answers.safetensors (NAME.codes, NAME.rebuilt). SAEs of sae-lens' own are saved as FOLDER/theirs/NAME,
and what they make of it is written to the same file.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from sae_lens import (  # noqa: E402
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.saes.sae import SAEMetadata  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

N_FEATURES, K = 64, 6


def shake(sae: Any) -> Any:
    """Gives every parameter a value that matters."""
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            noise = torch.randn_like(parameter)
            if name == "threshold":
                parameter.copy_(noise.abs() * 0.5)
            elif parameter.ndim == 1:
                parameter.copy_(noise * 0.2)
            else:
                parameter.copy_(noise / parameter.shape[0] ** 0.5)
        sae.W_dec.div_(sae.W_dec.norm(dim=-1, keepdim=True)).mul_(torch.rand(N_FEATURES, 1) + 0.5)
    return sae


def own(d_in: int) -> dict[str, Any]:
    """SAEs of every architecture and normalisation."""
    made: dict[str, Any] = {}
    kinds: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("standard", StandardSAE, StandardSAEConfig, {}),
        ("topk", TopKSAE, TopKSAEConfig, {"k": K}),
        ("topk-rescaled", TopKSAE, TopKSAEConfig, {"k": K, "rescale_acts_by_decoder_norm": True}),
        ("jumprelu", JumpReLUSAE, JumpReLUSAEConfig, {}),
        ("gated", GatedSAE, GatedSAEConfig, {}),
    ]
    for kind, sae_class, config_class, settings in kinds:
        for norm in ("none", "constant_norm_rescale", "layer_norm"):
            for applied in (True, False):
                metadata = SAEMetadata(model_name="tiny", hook_name="blocks.1.hook_resid_mid")
                config = config_class(
                    d_in=d_in,
                    d_sae=N_FEATURES,
                    normalize_activations=norm,
                    apply_b_dec_to_input=applied,
                    metadata=metadata,
                    **settings,
                )
                made[f"{kind}-{norm}-{applied}"] = shake(sae_class(config))
    return made


def trained(d_in: int, h: torch.Tensor) -> dict[str, Any]:
    """SAEs in training, which are saved as what they are for use."""
    from sae_lens.saes.sae import TrainStepInput

    shape = {"d_in": d_in, "d_sae": N_FEATURES, "k": K, "normalize_activations": "expected_average_only_in"}
    made: dict[str, Any] = {
        "topk-trained": TopKTrainingSAE(TopKTrainingSAEConfig(**shape)),
        "batchtopk-trained": BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shape)),
    }
    for sae in made.values():
        sae.cfg.metadata = SAEMetadata(model_name="tiny", hook_name="blocks.1.hook_mlp_out")
        shake(sae)
        for _ in range(200):
            step = TrainStepInput(h.reshape(-1, d_in), {}, None, 0, False)
            sae.training_forward_pass(step)
        sae.fold_activation_norm_scaling_factor(0.7)
    return made


def main(folder: Path) -> None:
    """Answers for one folder."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    h = load_file(folder / "input.safetensors")["h"]
    answers: dict[str, torch.Tensor] = {}

    def answer(path: Path) -> None:
        sae = SAE.load_from_disk(path)
        with torch.no_grad():
            codes = sae.encode(h)
            answers[f"{path.name}.codes"] = codes.contiguous()
            answers[f"{path.name}.rebuilt"] = sae.decode(codes).contiguous()

    for name, sae in own(h.shape[-1]).items():
        sae.save_model(folder / "theirs" / name)
    for name, sae in trained(h.shape[-1], h).items():
        sae.save_inference_model(folder / "theirs" / name)
    for path in sorted([*(folder / "ours").iterdir(), *(folder / "theirs").iterdir()]):
        answer(path)
    save_file(answers, folder / "answers.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
