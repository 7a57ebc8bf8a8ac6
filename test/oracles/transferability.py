"""Makes transferability.json: LogME, H-score, SFDA, nearest neighbours and a linear probe (python transferability.py).

From the papers' equations, without this package: LogME (You et al., ICML 2021) by explicit inverses and determinants; the
H-score (Bao et al., ICIP 2019), and with both covariances shrunk (Ibrahim et al., 2022) by Ledoit & Wolf (2004); SFDA (Shao
et al., ECCV 2022) with its Fisher projection by generalised eigenvectors; ridge regression refitted without each
tenth of the groups. Numbers were made with NumPy 2.4.6, SciPy 1.17.1 and scikit-learn 1.9.1 (which gives the Ledoit-Wolf covariance).
"""

import json
import pathlib

import numpy as np
from scipy import linalg
from sklearn.covariance import ledoit_wolf

rng = np.random.default_rng(17)


def evidence(F, y):
    n, d = F.shape
    alpha = beta = 1.0
    for _ in range(200_000):
        A = alpha * np.eye(d) + beta * F.T @ F
        m = beta * np.linalg.solve(A, F.T @ y)
        gamma = d - alpha * np.trace(np.linalg.inv(A))
        a, b = gamma / (m @ m), (n - gamma) / ((F @ m - y) @ (F @ m - y))
        done = abs(a / alpha - 1) < 1e-13 and abs(b / beta - 1) < 1e-13
        alpha, beta = a, b
        if done:
            break
    A = alpha * np.eye(d) + beta * F.T @ F
    m = beta * np.linalg.solve(A, F.T @ y)
    residual = (F @ m - y) @ (F @ m - y)
    log = n / 2 * np.log(beta) + d / 2 * np.log(alpha) - n / 2 * np.log(2 * np.pi)
    log -= beta / 2 * residual + alpha / 2 * m @ m + np.linalg.slogdet(A)[1] / 2
    return log / n


def log_me(F, labels):
    return np.mean([evidence(F, (labels == c).astype(float)) for c in np.unique(labels)])


def h_score(F, labels, shrunk):
    X = F - F.mean(0)
    G = np.zeros_like(X)
    for c in np.unique(labels):
        G[labels == c] = X[labels == c].mean(0)
    between = G.T @ G / len(X)
    if not shrunk:
        return np.trace(np.linalg.pinv(X.T @ X / len(X), hermitian=True) @ between)
    covariance, share = ledoit_wolf(X, assume_centered=True)
    return np.trace(np.linalg.inv(covariance) @ ((1 - share) * between))


def within(F, labels):
    X = F.copy()
    for c in np.unique(labels):
        X[labels == c] -= X[labels == c].mean(0)
    return X.T @ X / len(X)


def fisher_log_p(F, labels, lam):
    names = np.unique(labels)
    sw = (1 - lam) * within(F, labels) + lam * np.eye(F.shape[1])
    mean = F.mean(0)
    mu = np.array([F[labels == c].mean(0) for c in names])
    q = np.array([(labels == c).mean() for c in names])
    sb = ((mu - mean).T * q) @ (mu - mean)
    _, vectors = linalg.eigh(sb, sw)
    U = vectors[:, ::-1][:, : len(names) - 1]
    P = U @ U.T
    scores = F @ P @ mu.T - 0.5 * np.diag(mu @ P @ mu.T) + np.log(q)
    return scores - np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1, keepdims=True)) - scores.max(1, keepdims=True)


def sfda(F, labels):
    names, y = np.unique(labels, return_inverse=True)
    lam = max(np.exp(-5 * np.linalg.eigvalsh(within(F, labels))[-1]), 1e-10)
    p = np.exp(fisher_log_p(F, labels, lam))[np.arange(len(y)), y]
    mu = np.array([F[labels == c].mean(0) for c in names])
    others = (mu.sum(0) - mu) / (len(names) - 1)
    mixed = p[:, None] * F + (1 - p)[:, None] * others[y]
    return fisher_log_p(mixed, labels, lam)[np.arange(len(y)), y].mean()


def balanced(answered, labels):
    return np.mean([(answered[labels == c] == c).mean() for c in np.unique(labels)])


def r2(answered, targets):
    return 1 - ((answered - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()


def neighbours(F, groups, k=5):
    d2 = ((F[:, None] - F[None]) ** 2).sum(-1)
    d2[groups[:, None] == groups[None]] = np.inf
    return np.argsort(d2, axis=1, kind="stable")[:, :k]


def knn(F, labels, groups):
    answered = []
    for nearest in neighbours(F, groups):
        votes = labels[nearest]
        counts = {c: (votes == c).sum() for c in votes}
        answered.append(next(c for c in votes if counts[c] == max(counts.values())))
    return balanced(np.array(answered), labels)


def folds(groups, by):
    first = {g: i for i, g in reversed(list(enumerate(groups)))}
    ordered = sorted(dict.fromkeys(groups), key=lambda g: by[first[g]])
    dealt = {g: i % 10 for i, g in enumerate(ordered)}
    return np.array([dealt[g] for g in groups])


def best_of(fold, fit, error):
    tried = []
    for penalty in 10.0 ** (np.arange(7) - 4):
        answers = [(out, fit(~out, out, penalty)) for out in (fold == f for f in np.unique(fold))]
        whole = np.zeros((len(fold),) + answers[0][1].shape[1:])
        for out, own in answers:
            whole[out] = own
        tried.append((error(whole), whole))
    return min(tried, key=lambda one: one[0])[1]


def ridge(A, B, W, X, penalty, axes):
    # The penalties' unit: the mean squared singular value, over the axes on which any row lies.
    unit = (W * A**2).sum() / axes
    return X @ np.linalg.solve(A.T @ (W * A) + penalty * unit * np.eye(A.shape[1]), A.T @ (W * B))


def linear_probe(F, labels, groups):
    names, y = np.unique(labels, return_inverse=True)
    Y = np.eye(len(names))[y]
    axes = np.linalg.matrix_rank(F - F.mean(0))

    def fit(kept, out, penalty):
        sizes = Y[kept].sum(0)
        w = (1 / sizes[y[kept]])[:, None]
        mean = (w * F[kept]).sum(0) / w.sum()
        return 1 / len(names) + ridge(F[kept] - mean, Y[kept] - 1 / len(names), w, F[out] - mean, penalty, axes)

    weights = (1 / Y.sum(0)[y])[:, None]
    answers = best_of(folds(groups, y), fit, lambda a: (weights * (a - Y) ** 2).sum())
    return balanced(names[answers.argmax(1)], labels)


def linear_probe_of_regression(F, targets, groups):
    axes = np.linalg.matrix_rank(F - F.mean(0))

    def fit(kept, out, penalty):
        mean, intercept = F[kept].mean(0), targets[kept].mean()
        w = np.ones((kept.sum(), 1))
        return intercept + ridge(F[kept] - mean, targets[kept, None] - intercept, w, F[out] - mean, penalty, axes)

    answers = best_of(folds(groups, np.zeros(len(groups))), fit, lambda a: ((a[:, 0] - targets) ** 2).sum())
    return r2(answers[:, 0], targets)


cases = []
for n, d, classes, signal, scale in [(60, 8, 3, 1.0, 1), (40, 60, 2, 0.6, 1), (90, 20, 4, 0.3, 0.2), (25, 5, 2, 2.0, 3)]:
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    centres = rng.normal(size=(classes, d)) * signal
    F = scale * (rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)) / np.sqrt(d)) + centres[labels]) + 0.5
    F = np.round(F, 4)
    groups = np.arange(n) // 2
    targets = np.round(F @ rng.normal(size=d) / np.sqrt(d) + (4 if n < d else 1) * rng.normal(size=n), 6)
    cases.append(
        {
            "features": F.tolist(),
            "labels": labels.tolist(),
            "targets": targets.tolist(),
            "groups": groups.tolist(),
            "logMe": log_me(F, labels),
            "logMeOfRegression": evidence(F, targets),
            "hScore": h_score(F, labels, False),
            "shrunkHScore": h_score(F, labels, True),
            "sfda": sfda(F, labels),
            "nearestNeighbours": knn(F, labels, groups),
            "nearestNeighboursOfRegression": r2(targets[neighbours(F, groups)].mean(1), targets),
            "linearProbe": linear_probe(F, labels, groups),
            "linearProbeOfRegression": linear_probe_of_regression(F, targets, groups),
        }
    )

pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({"cases": cases}) + "\n")
