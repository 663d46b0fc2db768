"""Boards: what they have, how models are prepared for them, and what others have published of their speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeai_core.errors import ConfigError
from edgeai_core.runners.machine import this_machine

Precision = Literal["float32", "float16", "int8"]
Form = Literal["onnx", "openvino", "tflite"]
Tier = Literal["device", "edge", "cloud"]

TIERS: dict[Tier, tuple[float, float]] = {
    "device": (0.0, 10.0),
    "edge": (10.0, 50.0),
    "cloud": (100.0, 500.0),
}
"""Latency in ms that each tier is meant for: under 10 on the device, 10 to 50 at the edge, 100 to 500 in the cloud."""

OVERVIEW = "published with the design of EdgeAI"
QENGINEERING = (
    "Q-engineering, YoloX-Tracking-ncnn-RPi_64-bit, README: 416 x 416, ncnn, 1950 MHz, tracking included"
)


@dataclass(frozen=True)
class Published:
    """What others measured of a network on a board: pictures a second, watts, and an accuracy where they state it."""

    network: str
    frames_per_s: float
    watts: float | None = None
    precision: str = ""
    accuracy: str = ""
    source: str = OVERVIEW

    @property
    def ms(self) -> float:
        """The time of one picture, of pictures one after the other."""
        return 1000 / self.frames_per_s

    @property
    def frames_per_s_per_w(self) -> float | None:
        """Pictures a second for each watt, which is pictures for each joule."""
        return None if self.watts is None else self.frames_per_s / self.watts


@dataclass(frozen=True)
class Profile:
    """A board and the settings its models are made with.

    ``memory_mib`` is the board's, ``limit_mib`` what a model may take of it. ``settings_from`` says who chose the
    settings and why. ``backend`` runs the model there, ``compiler`` is the vendor's command, empty for none.
    """

    name: str
    title: str
    memory_mib: int
    watts: tuple[float, float] | None
    precision: Precision
    batch: int
    limit_mib: int
    flags: tuple[str, ...]
    form: Form
    backend: str
    compiler: str
    settings_from: str
    tier: Tier
    published: tuple[Published, ...] = ()


_GIB = 1024

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "jetson-nano", "NVIDIA Jetson Nano", 4 * _GIB, (5, 10), "float16", 4, 3584,
            ("CUDA", "TensorRT"), "onnx", "tensorrt", "trtexec", OVERVIEW, "edge",
            (
                Published("MobileNetV2", 43.5, 5.2, accuracy="71.8 % top-1"),
                Published("ResNet-50", 11.2, 6.8, accuracy="76.0 % top-1"),
                Published("EfficientNet-B0", 35.7, 5.5, accuracy="77.1 % top-1"),
            ),
        ),
        Profile(
            "xavier-nx", "NVIDIA Jetson Xavier NX", 8 * _GIB, (10, 25), "float16", 4, 7168,
            ("CUDA", "TensorRT"), "onnx", "tensorrt", "trtexec",
            "ours: as the Jetson Nano, whose tool chain it shares; its tensor cores run float16 at twice float32's "
            "rate and more, and int8 needs calibration data that not every model has",
            "edge",
            (
                Published("MobileNetV2", 178.2, 12.1),
                Published("ResNet-50", 67.4, 15.3),
                Published("YOLOv5s", 89.1, 14.7, accuracy="37.2 % mAP@0.5"),
            ),
        ),
        Profile(
            "agx-orin", "NVIDIA Jetson AGX Orin", 32 * _GIB, (15, 60), "float16", 8, 28672,
            ("CUDA", "TensorRT"), "onnx", "tensorrt", "trtexec",
            "ours: float16 as on its smaller kin; a batch of 8 fills its GPU, of which it has over five times the "
            "Xavier NX's cores (2048 to 384)",
            "edge",
        ),
        Profile(
            "coral", "Google Coral Dev Board", 1 * _GIB, (2, 3), "int8", 1, 1024,
            ("Edge TPU", "quantised weights"), "tflite", "coral", "edgetpu_compiler", OVERVIEW, "device",
            (
                Published("MobileNetV2", 158.7, 2.1, "int8", "70.9 % top-1"),
                Published("EfficientNet-Lite", 142.3, 2.3, "int8", "75.1 % top-1"),
            ),
        ),
        Profile(
            "nuc", "Intel NUC 11", 32 * _GIB, (15, 28), "float32", 1, 8192,
            ("AVX-512", "VNNI"), "openvino", "openvino", "",
            "ours: OpenVINO is Intel's engine; float32 until an int8 variant has passed the gate, which VNNI makes "
            "worth while on its Tiger Lake cores; a quarter of the memory, for it runs other programs too",
            "edge",
        ),
        Profile(
            "raspberry-pi-4", "Raspberry Pi 4", 8 * _GIB, (3, 5), "int8", 1, 1024,
            ("NEON", "small size"), "onnx", "onnx", "", OVERVIEW, "device",
            (Published("YOLOX-nano", 7.2, None, "float32", "25.8 % mAP", QENGINEERING),),
        ),
    )
}  # fmt: skip
"""The boards by name, cheapest to place last."""

BOARDS = tuple(PROFILES)
TARGETS = (*BOARDS, "this")

_DEFAULT = "raspberry-pi-4"


def profile(name: str) -> Profile:
    """Return a board's profile, or that of this machine (``this``). Raises ConfigError for another name."""
    if name == "this":
        return this_profile()
    if name not in PROFILES:
        raise ConfigError(f"there is no target {name!r} (there are: {', '.join(TARGETS)})")
    return PROFILES[name]


def this_profile() -> Profile:
    """Return the profile of this machine: a board that is known, else a processor with what it has."""
    machine = this_machine()
    for known in PROFILES.values():
        if known.title.split(" ", 1)[1].lower() in machine.cpu.lower():
            return known
    arm = machine.architecture in ("aarch64", "armv7l")
    base = PROFILES[_DEFAULT]
    return Profile(
        name="this",
        title=machine.cpu,
        memory_mib=machine.memory_mib,
        watts=None,
        precision=base.precision if arm else "float32",
        batch=1,
        limit_mib=max(256, machine.memory_mib // 4),
        flags=machine.instructions,
        form="onnx",
        backend="prepared",
        compiler="",
        settings_from="as the Raspberry Pi 4, as every unknown board"
        if arm
        else "ours: float32 on a processor until an int8 variant has passed the gate here",
        tier="edge",
    )
