"""From a checkpoint to a published version: find, read, build, save, check, publish."""

import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from contract.facts import Accuracy, Facts
from export.checkpoint.digest import file_sha256
from export.checkpoint.kept_file import KeptFile
from export.checkpoint.lora import Adapter, merge_adapter
from export.checkpoint.reader import Checkpoint, read_checkpoint
from export.checkpoint.source import opened_checkpoint, public_path
from export.errors import OptionError, VerificationError
from export.formats.format import FORMATS, Format, Writer
from export.formats.largest_batch import run_largest_batch
from export.formats.self_check import Reference, check_graph, reference_answers
from export.machine import bf16_units
from export.network.model import Sampling
from export.network.precision import lower_precision
from export.network.weights import load_model
from export.progress import duration, size
from export.repository.manifest import GraphFile, Manifest, Source, write_manifest
from export.repository.partials import PULSE_NAME
from export.repository.triton_config import fill_config, write_config
from export.repository.versions import Version, new_version, require_writable_model
from export.settings import ExportOptions, ModelSettings, Precision

logger = logging.getLogger(__name__)

# Seconds of a conversion, and of each sample of its largest batch, as measured with 1.97 GB on two cores
# (docs/explanation/formats.md).
_FIXED_S = 5.0
_S_PER_BYTE = 20e-9
_S_PER_BYTE_AND_SAMPLE = 1.8e-9

_SOFTWARE = ("nitrogen-triton", "torch", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Material:
    """The parts that all formats of one export share.

    Attributes:
        reference: the float32 network's own answers.
    """

    source: KeptFile
    checkpoint: Checkpoint
    adapter: Adapter | None
    sampling: Sampling
    largest_batch: int
    reference: Reference


def export_checkpoint(options: ExportOptions) -> list[Version]:
    """Publish a checkpoint as a version of a Triton model, one for each format.

    Raises:
        ExportError: one of its subclasses; the format that failed is not published.
    """
    with opened_checkpoint(str(options.checkpoint), options.models_dir) as source:
        return export_source(options, source)


def export_source(options: ExportOptions, source: KeptFile) -> list[Version]:
    """Export a checkpoint that was already found; `options.checkpoint` is ignored.

    Raises:
        ExportError: as `export_checkpoint`.
    """
    settings = options.settings
    formats = [FORMATS[name] for name in settings.formats]
    for form in formats:
        if settings.precision != "auto" and settings.precision in form.gpu_only and not _is_for_gpu(settings):
            raise OptionError(form.gpu_only[settings.precision])
    for form in formats:
        require_writable_model(options.repository, form.model_name(options))
    weights_bytes = source.path.stat().st_size
    largest_batch = settings.max_batch_size or (16 if _is_for_gpu(settings) else 8)
    form_s = (_S_PER_BYTE + _S_PER_BYTE_AND_SAMPLE * largest_batch) * weights_bytes
    logger.info(
        "2 of 3: converting %s (%s), %s (an estimate for two cores, from its size and --max-batch-size)",
        source.path,
        size(weights_bytes),
        duration(_FIXED_S + len(formats) * form_s),
    )
    checkpoint = read_checkpoint(source.path, options.models_dir, source.sha256, settings.weights)
    adapter = None
    if settings.adapter is not None:
        logger.info("merging the adapter %s", settings.adapter)
        tensors, adapter = merge_adapter(checkpoint.tensors, settings.adapter)
        logger.info("the adapter changed %d tensors", len(adapter.changed))
        checkpoint = replace(checkpoint, tensors=tensors)
    sampling = choose_sampling(checkpoint, settings)
    logger.info("running the network on the self-check's inputs: %s", sampling)
    reference = reference_answers(load_model(checkpoint, sampling))
    material = Material(source, checkpoint, adapter, sampling, largest_batch, reference)
    return [_publish(form, options, material) for form in formats]


def choose_sampling(checkpoint: Checkpoint, settings: ModelSettings) -> Sampling:
    """Return the checkpoint's own sampling with what the settings override.

    Raises:
        OptionError: when the checkpoint cannot do it.
    """
    config = checkpoint.config
    context = settings.context_length or config.modality_cfg.frame_per_sample
    if context > config.context_capacity:
        raise OptionError(
            f"a context of {context} frames is impossible: max_sequence_length "
            f"{config.tokenizer_cfg.max_sequence_length} holds the tokens of {config.context_capacity}; "
            f"use --context {config.context_capacity} or less"
        )
    steps = settings.steps or config.model_cfg.num_inference_timesteps
    return Sampling(context, steps, settings.cfg_scale)


def _publish(form: Format, options: ExportOptions, material: Material) -> Version:
    """Publish one format."""
    name = form.model_name(options)
    asked = replace(options.settings, formats=(form.name,))
    with new_version(
        options.repository, name, options.version, force=options.force, keep=options.keep
    ) as new:
        precision, accuracy = _write_graph(new.folder / form.file_name, form, asked, material)
        facts = _facts(material, precision, accuracy)
        made = replace(
            asked,
            steps=facts.inference_steps,
            context_length=facts.context_length,
            precision=precision,
            max_batch_size=material.largest_batch,
        )
        config = fill_config(facts, form, made, name=name, version=new.number)
        files = {
            path.name: GraphFile(path.stat().st_size, file_sha256(path))
            for path in sorted(new.folder.iterdir())
            if path.name != PULSE_NAME
        }
        write_config(config, new.folder)
        manifest = _manifest(asked, made, material, accuracy, files)
        write_manifest(manifest, new.folder)
        logger.info("3 of 3: publishing version %d of %s in %s", new.number, name, options.repository)
    # Not read again from the repository, where another export may have replaced it by now.
    return Version(options.repository / name / str(new.number), facts, manifest)


def _is_for_gpu(settings: ModelSettings) -> bool:
    return settings.device_kind == "gpu" or (settings.device_kind == "auto" and torch.cuda.is_available())


def _precisions(settings: ModelSettings, form: Format) -> tuple[Precision, ...]:
    """Return the precisions to try, in this order."""
    if settings.precision != "auto":
        return (settings.precision,)
    on_gpu = _is_for_gpu(settings)
    if "bf16" not in form.gpu_only and (_gpu_has_bf16_units() if on_gpu else bf16_units()):
        logger.info("%s multiplies bf16 in hardware: trying it first", "the GPU" if on_gpu else "this CPU")
        return ("bf16", "fp32")
    return ("fp32",)


def _gpu_has_bf16_units() -> bool:
    """Return whether this machine's GPU has bfloat16 units; assume so of one elsewhere."""
    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)


def _write_graph(
    path: Path, form: Format, settings: ModelSettings, material: Material
) -> tuple[Precision, Accuracy]:
    """Save the first precision whose graph is accurate enough; return it and its accuracy."""
    *others, last = _precisions(settings, form)
    writer = form.writer()
    for precision in others:
        try:
            return precision, _write_and_check(path, writer, precision, material)
        except VerificationError as error:
            logger.warning("%s: trying %s", error, last)
    return last, _write_and_check(path, writer, last, material)


def _write_and_check(path: Path, writer: Writer, precision: Precision, material: Material) -> Accuracy:
    logger.info("saving %s in %s", path.name, precision)
    model = load_model(material.checkpoint, material.sampling)
    lower_precision(model, precision)
    writer.save(model, path)
    del model  # before the saved one is loaded: both together are twice the memory
    graph = writer.load(path)
    accuracy = check_graph(graph, material.reference, precision)
    logger.info(
        "checked against the float32 network: x(1) differs by at most %.1e, by %.1e on average, "
        "and %.2f %% of the buttons differ",
        accuracy.max_difference,
        accuracy.mean_difference,
        100 * accuracy.flipped_buttons,
    )
    memory = run_largest_batch(graph, material.reference, material.largest_batch)
    took = "" if memory is None else f", and takes {size(memory)} of this machine's memory beside the weights"
    logger.info("the largest batch (%d) runs%s", material.largest_batch, took)
    return accuracy


def _facts(material: Material, precision: Precision, accuracy: Accuracy) -> Facts:
    checkpoint, sampling = material.checkpoint, material.sampling
    config = checkpoint.config
    return Facts(
        checkpoint_path=public_path(material.source),
        checkpoint_sha256=checkpoint.sha256,
        adapter_sha256=material.adapter.sha256 if material.adapter else "",
        horizon=config.model_cfg.action_horizon,
        context_length=sampling.context_length,
        games=checkpoint.games,
        old_layout=config.tokenizer_cfg.old_layout,
        action_interleaving=config.modality_cfg.action_interleaving,
        inference_steps=sampling.steps,
        cfg_scale=sampling.cfg_scale,
        precision=precision,
        conditioning=True,
        accuracy=accuracy,
    )


def _manifest(
    requested: ModelSettings,
    made: ModelSettings,
    material: Material,
    accuracy: Accuracy,
    files: dict[str, GraphFile],
) -> Manifest:
    source, config, adapter = material.source, material.checkpoint.config, material.adapter
    return Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        checkpoint=Source(source.origin, source.sha256),
        adapter=Source(str(adapter.folder), adapter.sha256) if adapter else None,
        requested=requested,
        made=made,
        own_steps=config.model_cfg.num_inference_timesteps,
        own_context_length=config.modality_cfg.frame_per_sample,
        self_check=asdict(accuracy),
        software={package: _installed_version(package) for package in _SOFTWARE},
        files=files,
    )


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
