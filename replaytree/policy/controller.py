"""The controller: an LSTM that makes one decision a step, sampled and scored for many paths at once.

A layer is one or more decisions, and pi(a_t | a_<t) is the product of theirs. Each name of a `choice` has a head.
`input` and `inputs` point back at earlier layers (Zoph and Le, 2017, section 3.3): with h_j the state at the last step
of layer j, and h the state now, the score of layer j is v . tanh(W_prev h_j + W_curr h). Of `inputs` its sigmoid is the
probability that layer j is taken, each layer by itself; for `input` a softmax over the scores chooses one. The state of
what was there before any layer (the image) is zero.

Shapes: B paths, T layers, S steps (decisions of all layers, in order), N steps of one decision's name, A options of a
decision, J layers pointed at, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from replaytree.config.controller import ControllerOptions
from replaytree.policy.pointer import Pointer
from replaytree.policy.scores import Shaping, inputs_scored, one_scored, skip_divergence
from replaytree.policy.vocabulary import Step, Vocabulary
from replaytree.records import Path, Space
from replaytree.space.coding import decode


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities of given paths, a layer each, and the policy's entropy there; 0 behind a path's end.

    They are sums over the decisions of the layer. `drawn_entropy` is -p log p of the options that the path takes.
    `skip_kl_B` is the divergence of the skips from their prior (scores.py), the mean over the layers of a path that are
    offered any; 0 where no prior was asked for.
    """

    log_probs_BT: Tensor
    entropy_BT: Tensor
    lengths_B: Tensor
    drawn_entropy_BT: Tensor
    skip_kl_B: Tensor


class Controller(nn.Module):
    """Embedding, LSTM, a linear head a choice; weights start uniform in +-0.08 (Zoph and Le, 2017, appendix A)."""

    def __init__(self, space: Space, options: ControllerOptions, *, generator: torch.Generator) -> None:
        super().__init__()
        hidden_size, layers = options.hidden_size, options.controller_layers
        self._space = space
        self._words = Vocabulary(space)
        self._shaped = Shaping(options, self._words.steps(space.max_layers), space)
        self.embedding = nn.Embedding(self._words.size, hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size, num_layers=layers, batch_first=True)
        self.logits = nn.ModuleDict({name: nn.Linear(hidden_size, size) for name, size in self._words.choices.items()})
        self.pointers = nn.ModuleDict({name: Pointer(hidden_size) for name in self._words.pointers})
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-options.init_range, options.init_range, generator=generator)
            for name, head in self.logits.items():
                bias_A = self._shaped.starting_bias(name)
                if bias_A is not None:
                    head.get_parameter("bias").copy_(bias_A)
        self.register_load_state_dict_pre_hook(_renamed)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def sample(
        self,
        prefixes: Sequence[Path],
        *,
        depth_bound: int,
        generator: torch.Generator,
        uniform: float = 0.0,
    ) -> list[tuple[Path, tuple[float, ...]]]:
        """Complete each prefix to `depth_bound` layers, or to where it ends; B paths take S steps, not B x S.

        Returns each path with pi(a_t | a_<t) of its sampled layers (len(path) - len(prefix) values). Illegal options
        have probability 0. With `uniform`, every decision is a mixture: uniform over the legal options with that
        probability. The probabilities returned are those of the mixture.
        """
        if not prefixes:
            return []
        draft = _Draft(self._space, prefixes)
        B = len(prefixes)
        token_BH = self.embedding(torch.full((B,), self._words.start))
        none_BH = torch.zeros(B, self.lstm.hidden_size)
        states = [(none_BH, none_BH)] * self.lstm.num_layers
        before_BHs: list[Tensor] = []
        # One step of the cell is 18 us, one step through nn.LSTM's sequence code 68 us (B = 1, H = 64).
        for step in self._words.steps(depth_bound):
            here_BH = token_BH
            for layer, weights in enumerate(self.lstm.all_weights):
                states[layer] = torch.lstm_cell(here_BH, states[layer], *weights)
                here_BH = states[layer][0]
            draft.begin(step)
            if step.decision.kind == "choice":
                scores_BA = self.logits[step.decision.name](here_BH)
            else:
                scores_BA = self._pointer(step).scores(before_BHs, step.decision.sources, here_BH)
            scores_BA = self._shaped(scores_BA, [step])
            if step.decision.kind == "inputs":
                draft.draw_inputs(scores_BA, generator, uniform)
            else:
                draft.draw_one(scores_BA, generator, uniform)
            token_BH = self._token(step, draft.values)
            if step.last:
                before_BHs.append(here_BH)
                draft.finish()
                if draft.all_ended:
                    break
        return list(zip(draft.paths, draft.probs, strict=True))

    @torch.no_grad()
    def next_probabilities(self, prefix: Path) -> list[float]:
        """pi(a | prefix) for the actions of a layer of one decision, A values."""
        [decision] = self._space.decisions(len(prefix) + 1)
        rows = [self._words.start, *(self._words.row(decision) + action for action in prefix)]
        inputs_1TH = self.embedding(torch.tensor([rows]))
        logits_1A = self.logits[decision.name](self.lstm(inputs_1TH)[0][:, -1])
        [logits_A] = self._shaped(logits_1A, self._words.steps(len(prefix) + 1)[-1:])
        legal_A = torch.tensor(self._space.legal(prefix))
        probs: list[float] = logits_A.masked_fill(~legal_A, -torch.inf).softmax(dim=0).tolist()
        return probs

    def score(self, paths: Sequence[Path], *, skip_target: float | None = None) -> Scored:
        """Log-probability of every layer of the paths and the entropy of the policy there, with gradients.

        With `skip_target` also the divergence of the skips from that probability.
        """
        lengths_B = torch.tensor([len(path) for path in paths])
        B, T = len(paths), int(lengths_B.max())
        steps = self._words.steps(T)
        read = _Read(self._space, paths, steps)
        hidden_BSH = self._hidden(steps, read.values_BS)
        log_probs_BT, entropy_BT, drawn_BT = torch.zeros(B, T), torch.zeros(B, T), torch.zeros(B, T)
        skip_kl_BT, offered_BT = torch.zeros(B, T), torch.zeros(B, T)
        last_BTH = hidden_BSH[:, [s for s, step in enumerate(steps) if step.last]]
        for places in _by_name(steps):
            decision, N = steps[places[0]].decision, len(places)
            here_BNH = hidden_BSH if len(steps) == N else hidden_BSH[:, places]
            if decision.kind == "choice":
                scores_BNA = self.logits[decision.name](here_BNH)
            else:
                offered = [steps[s].decision.sources for s in places]
                scores_BNA = self._pointer(steps[places[0]]).all_scores(last_BTH, offered, here_BNH)
            scores_BNA = self._shaped(scores_BNA, [steps[s] for s in places])
            values_BN = read.values_BS[:, places]
            legal_BNA = read.legal(places, scores_BNA.shape[2])
            scored = (inputs_scored if decision.kind == "inputs" else one_scored)(scores_BNA, values_BN, legal_BNA)
            depths = torch.tensor([steps[s].depth - 1 for s in places])
            log_probs_BT = log_probs_BT.index_add(1, depths, scored.log_prob)
            entropy_BT = entropy_BT.index_add(1, depths, scored.entropy)
            drawn_BT = drawn_BT.index_add(1, depths, scored.drawn_entropy)
            if decision.kind == "inputs" and skip_target is not None:
                skip_kl_BT = skip_kl_BT.index_add(1, depths, skip_divergence(scores_BNA, legal_BNA, skip_target))
                offered_BT = offered_BT.index_add(1, depths, legal_BNA.any(dim=2).float())
        behind_BT = torch.arange(T).unsqueeze(0) >= lengths_B.unsqueeze(1)
        log_probs_BT, entropy_BT, drawn_BT, skip_kl_BT, offered_BT = (
            each.masked_fill(behind_BT, 0.0) for each in (log_probs_BT, entropy_BT, drawn_BT, skip_kl_BT, offered_BT)
        )
        skip_kl_B = skip_kl_BT.sum(dim=1) / (offered_BT > 0).sum(dim=1).clamp(min=1)
        return Scored(log_probs_BT, entropy_BT, lengths_B, drawn_BT, skip_kl_B)

    @property
    def chooses_skips(self) -> bool:
        """Whether a layer of the space takes a set of earlier layers."""
        return any(step.decision.kind == "inputs" for step in self._words.steps(self._space.max_layers))

    def _pointer(self, step: Step) -> Pointer:
        pointer = self.pointers[step.decision.name]
        assert isinstance(pointer, Pointer)
        return pointer

    def _hidden(self, steps: Sequence[Step], values_BS: Tensor) -> Tensor:
        """The state at every step of given paths, (B, S, H)."""
        start_B1H = self.embedding(torch.full((len(values_BS), 1), self._words.start))
        first_S = torch.tensor([self._words.row(step.decision) for step in steps])
        choice_S = torch.tensor([step.decision.kind == "choice" for step in steps])
        tokens_BSH = self.embedding((values_BS * choice_S + first_S)[:, :-1])
        pointing = [s for s, step in enumerate(steps[:-1]) if step.decision.sources]
        if pointing:
            pointed_BNH = self._pointed([steps[s] for s in pointing], values_BS[:, pointing])
            tokens_BSH = tokens_BSH.index_add(1, torch.tensor(pointing), pointed_BNH)
        hidden_BSH: Tensor = self.lstm(torch.cat([start_B1H, tokens_BSH], dim=1))[0]
        return hidden_BSH

    def _token(self, step: Step, values: Sequence[int]) -> Tensor:
        """What the step after a decision reads, (B, H)."""
        first = self._words.row(step.decision)
        if step.decision.kind == "choice":
            chosen_BH: Tensor = self.embedding(torch.tensor([first + value for value in values]))
            return chosen_BH
        token_BH: Tensor = self.embedding(torch.full((len(values),), first))
        if not step.decision.sources:
            return token_BH
        return token_BH + self._pointed([step], torch.tensor(values).unsqueeze(1)).squeeze(1)

    def _pointed(self, steps: Sequence[Step], values_BN: Tensor) -> Tensor:
        """The mean of the rows of what `input` or `inputs` took, (B, N, H); N steps that offer at least one source."""
        J = max(len(step.decision.sources) for step in steps)
        rows_NJ = torch.tensor([self._words.source_rows(step, J) for step in steps])
        options_J = torch.arange(J)
        values_BN1 = values_BN.unsqueeze(2)
        subset_N1 = torch.tensor([[step.decision.kind == "inputs"] for step in steps])
        chosen_BNJ = torch.where(subset_N1, (values_BN1 >> options_J & 1).bool(), values_BN1 == options_J)
        weight_BNJ = chosen_BNJ.float()
        weight_BNJ = weight_BNJ / weight_BNJ.sum(dim=2, keepdim=True).clamp(min=1.0)
        return torch.einsum("bnj,njh->bnh", weight_BNJ, self.embedding(rows_NJ))


def optimizer_of(controller: Controller, options: ControllerOptions) -> torch.optim.Adam:
    """Adam over all weights of the controller."""
    return torch.optim.Adam(
        controller.parameters(), lr=options.policy_learning_rate, betas=(options.adam_beta, 0.999),
        eps=options.adam_epsilon, fused=True,
    )  # fmt: skip


class _Draft:
    """Paths under construction: the values of the layer under way, and the probabilities of what was drawn."""

    def __init__(self, space: Space, prefixes: Sequence[Path]) -> None:
        self._space = space
        self._prefixes = prefixes
        self.paths: list[Path] = [()] * len(prefixes)
        self.probs: list[tuple[float, ...]] = [()] * len(prefixes)
        self.values: list[int] = []
        self._chosen: list[tuple[int, ...]] = []
        self._shares: list[float] = []
        self._actions: list[int] = []
        self._ended = [False] * len(prefixes)

    @property
    def all_ended(self) -> bool:
        """Whether no path goes on."""
        return all(self._ended)

    def begin(self, step: Step) -> None:
        """Take up a decision: which rows are drawn, and what they may draw. A row's own prefix is only read again."""
        self._step = step
        t, k = step.depth - 1, step.place
        if k == 0:
            B = len(self.paths)
            self._chosen, self._shares, self._actions = [()] * B, [1.0] * B, [0] * B
            self._forced = [
                decode(self._space.decisions(step.depth), prefix[t]) if t < len(prefix) else None
                for prefix in self._prefixes
            ]
        free = (True,) * len(step.decision.options)
        self._masks = [
            free if forced is not None or ended else self._space.legal(path, chosen)
            for path, chosen, forced, ended in zip(self.paths, self._chosen, self._forced, self._ended, strict=True)
        ]
        if k == 0:
            for b, mask in enumerate(self._masks):
                if not any(mask):
                    self._ended[b], self._masks[b] = True, free

    def draw_one(self, scores_BA: Tensor, generator: torch.Generator, uniform: float) -> None:
        """One option a row, by a softmax over the legal ones."""
        legal_BA = self._legal()
        probs_BA = scores_BA.masked_fill(~legal_BA, -torch.inf).softmax(dim=1)
        if uniform > 0.0:
            probs_BA = (1.0 - uniform) * probs_BA + uniform * legal_BA / legal_BA.sum(dim=1, keepdim=True)
        sampled_B1 = torch.multinomial(probs_BA, 1, generator=generator)
        self._take(sampled_B1.flatten().tolist(), probs_BA.gather(1, sampled_B1).flatten().tolist())

    def draw_inputs(self, scores_BA: Tensor, generator: torch.Generator, uniform: float) -> None:
        """Any subset of the options a row, each option by itself."""
        if not scores_BA.shape[1]:
            self._take([0] * len(self.paths), [1.0] * len(self.paths))
            return
        legal_BA = self._legal()
        probs_BA = (scores_BA.sigmoid() * (1.0 - uniform) + 0.5 * uniform) * legal_BA
        taken_BA = torch.rand(probs_BA.shape, generator=generator) < probs_BA
        shares_B = torch.where(taken_BA, probs_BA, 1.0 - probs_BA).prod(dim=1)
        bits_A = 1 << torch.arange(probs_BA.shape[1])
        self._take((taken_BA * bits_A).sum(dim=1).tolist(), shares_B.tolist())

    def finish(self) -> None:
        """The layer is complete."""
        for b, (action, share) in enumerate(zip(self._actions, self._shares, strict=True)):
            if self._ended[b]:
                continue
            if self._forced[b] is None:
                self.probs[b] = (*self.probs[b], share)
            self.paths[b] = (*self.paths[b], action)

    def _legal(self) -> Tensor:
        first = self._masks[0]
        if all(mask is first for mask in self._masks):
            return torch.tensor(first).expand(len(self._masks), -1)
        return torch.tensor(self._masks)

    def _take(self, drawn: list[int], shares: list[float]) -> None:
        place = self._step.place
        self.values = [
            value if forced is None else forced[place] for value, forced in zip(drawn, self._forced, strict=True)
        ]
        # Mixed radix, as in coding.encode.
        size = self._step.decision.size
        self._actions = [action * size + value for action, value in zip(self._actions, self.values, strict=True)]
        self._chosen = [(*chosen, value) for chosen, value in zip(self._chosen, self.values, strict=True)]
        self._shares = [before * share for before, share in zip(self._shares, shares, strict=True)]


class _Read:
    """Given paths as values and masks, a step each; 0 and all legal behind their ends."""

    def __init__(self, space: Space, paths: Sequence[Path], steps: Sequence[Step]) -> None:
        self._masks: list[list[tuple[bool, ...] | None]] = []
        rows = []
        for path in paths:
            values: list[int] = []
            masks: list[tuple[bool, ...] | None] = []
            for depth, action in enumerate(path, start=1):
                layer = decode(space.decisions(depth), action)
                values += layer
                masks += [space.legal(path[: depth - 1], layer[:k]) for k in range(len(layer))]
            rows.append(values + [0] * (len(steps) - len(values)))
            self._masks.append(masks + [None] * (len(steps) - len(masks)))
        self.values_BS = torch.tensor(rows)

    def legal(self, places: Sequence[int], width: int) -> Tensor:
        """(B, N, A) of some steps; A the most options that one of them has. Options that a step lacks are illegal."""
        free, none = (True,) * width, (False,) * width
        by_mask: dict[tuple[bool, ...] | None, tuple[bool, ...]] = {None: free}
        rows = []
        for masks in self._masks:
            for s in places:
                mask = masks[s]
                if mask not in by_mask:
                    by_mask[mask] = (*mask, *none[len(mask) :]) if mask is not None else free
                rows.append(by_mask[mask])
        return torch.tensor(rows, dtype=torch.bool).view(len(self._masks), len(places), width)


def _by_name(steps: Sequence[Step]) -> list[list[int]]:
    """The steps of each decision's name, in the order in which the names first occur."""
    found: dict[str, list[int]] = {}
    for s, step in enumerate(steps):
        found.setdefault(step.decision.name, []).append(s)
    return list(found.values())


def _renamed(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Until decisions had names, a controller had one head; its state is that of the one decision."""
    assert isinstance(module, Controller)
    names = list(module.logits)
    for part in ("weight", "bias"):
        if f"{prefix}logits.{part}" in state and len(names) == 1:
            state[f"{prefix}logits.{names[0]}.{part}"] = state.pop(f"{prefix}logits.{part}")
