"""The rules for `deepspeed.*`, which DeepSpeed gets as its JSON: which keys sanpose sets, which keys DeepSpeed knows.

DeepSpeed ignores an unknown top-level key; an unknown key in `zero_optimization` crashes its workers. The names are
those of DeepSpeed's documentation (deepspeed.ai, "DeepSpeed Configuration JSON") and of the pinned version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sanpose.config.schema import Config
from sanpose.errors import UserError, nearest

# sanpose sets these keys from keys of `train`.
_OWNED = {
    "train_batch_size": "train.batch_size",
    "train_micro_batch_size_per_gpu": "train.batch_size, train.workers and train.accumulation",
    "gradient_accumulation_steps": "train.accumulation",
    "gradient_clipping": "train.clip",
    "optimizer": "train.learning_rate (the optimiser is Adam)",
    "scheduler": "train.milestones and train.gamma",
    "bf16": "train.precision",
    "fp16": "train.precision (bf16 or fp32: the coordinates' softmax overflows in fp16)",
}

KEYS = (
    "activation_checkpointing", "aio", "autotuning", "checkpoint", "comet", "comms_logger",
    "communication_data_type", "compile", "csv_monitor", "data_efficiency", "data_types",
    "dataloader_drop_last", "datastates_ckpt", "disable_allgather", "disable_python_gc", "dump_state",
    "flops_profiler", "gradient_allreduce_op", "gradient_predivide_factor", "log_level", "memory_breakdown",
    "prescale_gradients", "seq_parallel_communication_data_type", "steps_per_print", "tensorboard",
    "timers", "torch_autocast", "wall_clock_breakdown", "wandb", "weight_quantization", "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer", "zero_optimization",
)  # fmt: skip

ZERO_KEYS = (
    "allgather_bucket_size", "allgather_partitions", "compute_grad_norm", "contiguous_gradients", "cpu_offload",
    "cpu_offload_param", "cpu_offload_use_pin_memory", "elastic_checkpoint", "enable_sanity_checks",
    "ignore_unused_parameters", "leaf_module", "legacy_stage1", "load_from_fp32_weights", "log_trace_cache_warnings",
    "memory_efficient_linear", "offload_optimizer", "offload_param", "overlap_comm", "override_module_apply",
    "parameter_alignment", "pipeline_loading_checkpoint", "reduce_bucket_size", "reduce_scatter",
    "round_robin_gradients", "save_muon_momentum_buffer_in_memory", "stage", "stage3_allgather_sequential",
    "stage3_gather_16bit_weights_on_model_save", "stage3_gather_fp16_weights_on_model_save",
    "stage3_max_live_parameters", "stage3_max_reuse_distance", "stage3_model_persistence_threshold",
    "stage3_module_granularity_threshold", "stage3_param_persistence_threshold", "stage3_prefetch_bucket_size",
    "stage3_use_all_reduce_for_fetch_params", "sub_group_size", "use_multi_rank_bucket_allreduce", "zenflow",
    "zero_hpz_partition_size", "zero_quantized_gradients", "zero_quantized_nontrainable_weights",
    "zero_quantized_weights",
)  # fmt: skip

_OFFLOADS = ("offload_optimizer", "offload_param")


def broken(config: Config) -> Iterator[UserError]:
    """The rules that `deepspeed.*` breaks."""
    for key, owner in _OWNED.items():
        if key in config.deepspeed:
            yield UserError(f"deepspeed.{key} is set by sanpose", expected=f"use {owner}", hint=f"~deepspeed.{key}")
    yield from _unknown("deepspeed.", config.deepspeed, KEYS)
    zero = config.deepspeed.get("zero_optimization", {})
    if not isinstance(zero, Mapping):
        yield UserError(
            f"deepspeed.zero_optimization={zero} is not a group of keys", expected="deepspeed=zero0 to zero3"
        )
        return
    yield from _unknown("deepspeed.zero_optimization.", zero, ZERO_KEYS)
    for key in _OFFLOADS:
        if not isinstance(zero.get(key) or {}, Mapping):
            yield UserError(
                f"deepspeed.zero_optimization.{key}={zero[key]} is not a group of keys",
                expected=f"deepspeed.zero_optimization.{key}.device=cpu",
            )
    stage = zero.get("stage", 0)
    if stage not in (0, 1, 2, 3):
        yield UserError(f"deepspeed.zero_optimization.stage={stage} is not known", expected="0, 1, 2 or 3")
    if config.train.accelerator == "cpu":
        yield from _offloading_from_a_cpu(zero)


def require_memory_to_offload_to(config: Config, device: str) -> None:
    """Raise UserError when ZeRO would offload from a CPU, which has no other memory to offload to."""
    zero = config.deepspeed.get("zero_optimization", {})
    if device == "cpu" and isinstance(zero, Mapping):
        for error in _offloading_from_a_cpu(zero):
            raise error


def _unknown(prefix: str, keys: Iterable[str], allowed: tuple[str, ...]) -> Iterator[UserError]:
    for key in keys:
        if key not in allowed and key not in _OWNED:
            yield UserError(
                f"DeepSpeed knows no key '{prefix}{key}'",
                expected="a key of DeepSpeed's configuration",
                hint=nearest(key, allowed),
            )


def _offloading_from_a_cpu(zero: Mapping[str, object]) -> Iterator[UserError]:
    for key in _OFFLOADS:
        offload = zero.get(key)
        if isinstance(offload, Mapping) and offload.get("device", "none") != "none":
            yield UserError(
                f"deepspeed.zero_optimization.{key} cannot offload from a CPU: there is no other memory",
                expected="offloading from CUDA devices only",
                hint=f"~deepspeed.zero_optimization.{key}",
            )
