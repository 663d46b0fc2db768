"""How clients learn together: apart from the learning, so that the flags are known without its libraries."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class FederatedOptions(BaseModel):
    """Clients, rounds, and how much of the common weights each takes over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clients: int = Field(5, ge=2, le=50, description="whose patients or parts the data are divided among")
    rounds: int = Field(10, ge=1, le=1000, description="of learning and averaging")
    mix: str = Field(
        "fedavg",
        description="fedavg: clients take the common weights as they are; a number from 0 to 1: that share of them,"
        " the rest their own (published: 0.2)",
    )
    passes: int = Field(1, ge=1, le=100, description="over a client's samples in every round")
    folds: int = Field(
        5, ge=2, le=20, description="parts of the data, by patient or part, of which each is judged once"
    )
    hidden: int = Field(32, ge=1, le=1024, description="units of the network's hidden layer")
    seed: int = Field(0, ge=0, description="of splits, weights and drawing")
    network: bool = Field(
        True,
        description="clients are processes that talk to a Flower server on 127.0.0.1; else all in this process",
    )

    @field_validator("mix")
    @classmethod
    def _share(cls, text: str) -> str:
        if text != "fedavg":
            try:
                share = float(text)
            except ValueError as error:
                raise ValueError(f"{text!r} is neither fedavg nor a number") from error
            if not 0 < share <= 1:
                raise ValueError(f"{text} is no share above 0, up to 1")
        return text

    @property
    def share(self) -> float:
        """The share of the common weights."""
        return 1.0 if self.mix == "fedavg" else float(self.mix)
