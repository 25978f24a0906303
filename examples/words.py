"""A code that is a word: trained by the sum of Eq. DISC.1, and by relaxed words, Eq. DISC.2.

Each sentence has five words, drawn from the vocabulary of one of three topics. A decoder that is a
table makes the model a mixture, whose maximum EM finds; log p(x) is exact for all models. On the
right are the words of each topic according to the first model.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import logsumexp, softmax

from minivae import CategoricalVAE

TOPICS = {
    "sea": ("the", "ship", "wave", "salt", "sails", "rolls"),
    "farm": ("the", "cow", "field", "grass", "sleeps", "grows"),
    "city": ("the", "tram", "street", "light", "stops", "rolls"),
}
VOCABULARY = sorted({word for words in TOPICS.values() for word in words})


def sentences(n, seed):
    """n sentences as rows of word indices, ``(n, 5)``; each draws from its topic's vocabulary."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.3, 0.2, 0.15, 0.15, 0.1, 0.1])  # as they stand above
    topics = rng.integers(len(TOPICS), size=n)
    numbers = np.array([[VOCABULARY.index(word) for word in TOPICS[name]] for name in TOPICS])
    return numbers[topics[:, None], rng.choice(6, (n, 5), p=shares)].astype(float)


def em(X, K, seed, steps=300):
    """The log-likelihood of a mixture of K tables at EM's fixed point, Eq. GMM.12."""
    rng = np.random.default_rng(seed)
    hot = np.eye(len(VOCABULARY))[X.astype(int)]  # (n, 5, V)
    r = rng.dirichlet(np.ones(K), len(X))
    for _ in range(steps):
        pi = r.mean(axis=0)
        tables = np.einsum("nk,ndv->kdv", r, hot) + 1e-10
        tables /= tables.sum(axis=-1, keepdims=True)
        log_joint = np.log(pi) + np.einsum("ndv,kdv->nk", hot, np.log(tables))
        r = softmax(log_joint, axis=1)
    return logsumexp(log_joint, axis=1).mean()


# %%
def main(folder=Path(__file__).parent, n=600, epochs=60):
    X = sentences(n, 0)
    best = max(em(X, 3, seed) for seed in range(5))
    print(f"EM of 3 tables: {best:.3f} nats per sentence")
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    models = {}
    for name, how in (
        ("summed over", {}),
        ("straight-through, 0.5", {"temperature": 0.5, "straight_through": True}),
        ("relaxed, 0.3", {"temperature": 0.3}),
        ("relaxed, 1", {"temperature": 1.0}),
        ("relaxed, 3", {"temperature": 3.0}),
    ):
        curve = []
        vae = CategoricalVAE(
            3, (), likelihood="categorical", n_classes=len(VOCABULARY), epochs=epochs,
            batch_size=50, learning_rate=2e-2, dtype="float64", random_state=1, **how,
        )  # fmt: skip
        vae.fit(X, on_epoch=lambda vae, _, curve=curve: curve.append(vae.log_likelihood(X).mean()))
        models[name] = vae
        left.plot(curve, label=name)
        print(f"{name:22s} log p(x) {curve[-1]:.3f}, ELBO {vae.score(X):.3f}")
    left.axhline(best, color="black", linestyle="--", label="EM")
    left.set(xlabel="epoch", ylabel="log p(x), nats per sentence", ylim=(best - 2.0, best + 0.1))
    left.legend(loc="lower left", bbox_to_anchor=(0.42, 0.24), fontsize=8)

    # %% What a code says: the probabilities of words, averaged over the five places
    vae = models["summed over"]
    (logits,) = vae.model_.parameters_given(np.eye(3)[:, None])
    shares = softmax(logits.data.reshape(3, 5, -1), axis=-1).mean(axis=1)
    order = np.argsort(shares.argmax(axis=0), kind="stable")
    right.imshow(shares[:, order], cmap="Greys", aspect="auto")
    right.set_xticks(range(len(VOCABULARY)), [VOCABULARY[i] for i in order], rotation=70)
    right.set_yticks(range(3), [f"z = {k}" for k in range(3)])
    right.set(title="p(word | z), mean over the positions")
    figure.savefig(Path(folder) / "words.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
