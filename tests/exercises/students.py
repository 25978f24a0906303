# ruff: noqa: E501, students write lines of any length
"""Answers as students write them, which were not in any bank when they were tried.

Right ones in unusual clothes, and wrong ones, of which most were new to the checks. What a wrong
one that slipped through showed went into the banks of the exercises; here all stay as they were.
"""

RIGHT = [
    ("01", """
        return (np.einsum('ij,ij->ij', g, y), np.einsum('ij,ij->ij', g, x))"""),
    ("01", """
        out = [g * y]
        out.append(g * x)
        return out"""),
    ("02", """
        extra = g.ndim - len(shape)
        g = g.sum(axis=tuple(range(extra)))
        keep = tuple((i for i, (a, b) in enumerate(zip(g.shape, shape)) if a != b))
        return g.sum(axis=keep, keepdims=True)"""),
    ("02", """
        return np.einsum(g, list(range(g.ndim)), [i for i in range(g.ndim) if i >= g.ndim - len(shape) and shape[i - g.ndim + len(shape)] != 1]).reshape(shape)"""),
    ("03", """
        reach = {root}
        todo = [root]
        while todo:
            n = todo.pop()
            for i in inputs[n]:
                if i not in reach:
                    reach.add(i)
                    todo.append(i)
        users = {n: 0 for n in reach}
        for n in reach:
            for i in inputs[n]:
                users[i] += 1
        from collections import deque
        q = deque([root])
        order = []
        while q:
            n = q.popleft()
            order.append(n)
            for i in inputs[n]:
                users[i] -= 1
                if not users[i]:
                    q.append(i)
        return order"""),
    ("03", """
        from graphlib import TopologicalSorter
        seen, stack = ({root}, [root])
        while stack:
            for i in inputs[stack.pop()]:
                if i not in seen:
                    seen.add(i)
                    stack.append(i)
        return list(TopologicalSorter({n: inputs[n] for n in seen}).static_order())[::-1]"""),
    ("04", """
        return 2 * g * x * (np.sin(x * x) + x * x * np.cos(x * x))"""),
    ("04", """
        c = np.exp(1j * s)
        return g * 2 * x * (c.imag + s * c.real)"""),
    ("05", """
        return ((B @ g.T).T, (g.T @ A).T)"""),
    ("05", """
        return (np.tensordot(g, B, axes=(1, 1)), np.tensordot(A, g, axes=(0, 0)))"""),
    ("06", """
        e = np.exp(-np.abs(x))
        sig = np.where(x >= 0, 1 / (1 + e), e / (1 + e))
        return (g * (1 - tanh_x) * (1 + tanh_x), g * sig)"""),
    ("06", """
        return (g * (1 - np.square(tanh_x)), g * (1 - np.exp(-softplus_x)))"""),
    ("06", """
        from scipy.special import expit
        return (g - g * tanh_x ** 2, g * expit(x))"""),
    ("07", """
        from scipy.special import logsumexp as f
        return f(a, axis=1)"""),
    ("07", """
        a = np.sort(a, axis=1)[:, ::-1]
        return a[:, 0] + np.log1p(np.exp(a[:, 1:] - a[:, :1]).sum(axis=1))"""),
    ("08", """
        h = np.zeros_like(a)
        h[np.arange(len(a)), labels] = 1
        return np.diag(g) @ (np.exp(log_softmax(a)) - h)"""),
    ("08", """
        e = np.exp(a - a.max(1)[:, None])
        p = e / e.sum(1)[:, None]
        for n, l in enumerate(labels):
            p[n, l] -= 1
        return (p.T * g).T"""),
    ("09", """
        d = 1 - np.square(np.tanh(X @ W + b))
        P = np.multiply(g, d)
        return (P.dot(W.T), X.transpose().dot(P), np.sum(P, 0))"""),
    ("09", """
        P = g - g * out * out
        return ((W @ P.T).T, (P.T @ X).T, P.T.sum(axis=1))"""),
    ("10", """
        c1, c2 = (1 - beta1 ** t, 1 - beta2 ** t)
        return (theta - learning_rate * (m / c1) * (np.sqrt(v / c2) + epsilon) ** (-1), m, v)"""),
    ("11", """
        return -np.sum(np.logaddexp(0, np.where(x > 0, -logits, logits)), axis=1)"""),
    ("11", """
        return (x * logits).sum(1) - (np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))).sum(1)"""),
    ("12", """
        from scipy.stats import norm
        return norm(mu, np.exp(log_var / 2)).logpdf(x).sum(axis=1)"""),
    ("12", """
        D = x.shape[1]
        q = (((x - mu) * np.exp(-log_var / 2)) ** 2).sum(1)
        return -(D * np.log(2 * np.pi) + log_var.sum(1) + q) / 2"""),
    ("13", """
        return -0.5 * np.einsum('nk->n', 1 + log_var - mu * mu - np.exp(log_var))"""),
    ("13", """
        return 0.5 * (np.square(mu).sum(1) + np.expm1(log_var).sum(1) - log_var.sum(1))"""),
    ("14", """
        return (g.copy(), g * eps * np.sqrt(np.exp(log_var)) / 2)"""),
    ("15", """
        return -kl(mu, log_var) + sum((log_likelihood(x, l[None])[0] for l in logits)) / len(logits)"""),
    ("16", """
        from math import fsum
        return n_total * fsum(log_likelihoods) / len(log_likelihoods) + log_prior"""),
    ("17", """
        w = (eps * eps - 1) / 2
        return (np.einsum('s,sk->k', values, w) / len(values), np.einsum('sk,sk->k', slopes, eps) * np.exp(log_var / 2) / 2 / len(eps))"""),
    ("18", """
        from scipy.special import logsumexp
        return logsumexp(log_weights, axis=0, b=1 / len(log_weights))"""),
    ("18", """
        return np.array([np.logaddexp.reduce(c) - np.log(c.size) for c in log_weights.T])"""),
    ("19", """
        from scipy.special import softmax
        return softmax(log_pi + log_density, axis=1)"""),
    ("19", """
        a = log_pi + log_density
        return np.exp(a - np.logaddexp.reduce(a, axis=1)[:, None])"""),
    ("20", """
        K = r.shape[1]
        pi = np.mean(r, axis=0)
        mu = np.array([(r[:, k, None] * x).sum(0) / r[:, k].sum() for k in range(K)])
        S = np.array([(x - mu[k]).T @ np.diag(r[:, k]) @ (x - mu[k]) / r[:, k].sum() for k in range(K)])
        return (pi, mu, S)"""),
    ("20", """
        c = x.mean(axis=0)
        y = x - c
        w = r / r.sum(0)
        m = w.T @ y
        S = np.einsum('nk,ni,nj->kij', w, y, y) - m[:, :, None] * m[:, None]
        return (r.mean(0), m + c, S)"""),
    ("21", """
        K = log_var.shape[1]
        h = K / 2 * (1 + np.log(2 * np.pi)) + log_var.sum(1) / 2
        return -(h + np.logaddexp.reduce(log_pi + log_components, axis=2).mean(0))"""),
    ("22", """
        M = W.T @ W + sigma ** 2 * np.eye(W.shape[1])
        mu = np.linalg.solve(M, (x @ W - m @ W).T).T
        return (mu, 2 * np.log(sigma) - np.log(np.diagonal(M)))"""),
    ("22", """
        U, s, Vt = np.linalg.svd(W, full_matrices=False)
        mu = (x - m) @ U @ np.diag(s / (s * s + sigma ** 2)) @ Vt
        return (mu, np.log(sigma ** 2 / ((W * W).sum(0) + sigma ** 2)))"""),
    ("23", """
        counts = r.sum(axis=0)
        w = r / counts
        mu = w.T @ x
        var = np.stack([w[:, k] @ (x - mu[k]) ** 2 for k in range(len(pi))])
        return (r.mean(0), mu, var)"""),
    ("24", """
        l = np.where(x == 1, -logits, logits)
        loss = (np.maximum(l, 0) + np.log1p(np.exp(-np.abs(l)))).sum(1)
        from scipy.special import expit
        return (loss, expit(logits) - x)"""),
    ("25", """
        from scipy.special import logsumexp as f
        w = log_likelihood + log_prior - log_q
        return f(w, axis=0) - np.log(w.shape[0])"""),
    ("26", """
        s, l = np.linalg.slogdet(2 * np.pi * Sigma)
        from scipy.special import log_softmax
        return np.exp(log_softmax(np.log(pi) - l / 2 - squares / 2, axis=1))"""),
    ("27", """
        return log_likelihood + 0.5 * (1 + log_var - mu ** 2 - np.exp(log_var)).sum(-1)"""),
    ("28", """
        return np.sum(np.log(sigma_p) - np.log(sigma) + (sigma ** 2 + (mu - mu_p) ** 2) / (2 * sigma_p ** 2) - 0.5, axis=1)"""),
    ("29", """
        out = np.zeros(x.shape)
        for i, row in zip(index, g):
            out[i] += row
        return out"""),
    ("29", """
        from scipy.sparse import coo_matrix
        return coo_matrix((np.ones(len(index)), (index, np.arange(len(index)))), shape=(len(x), len(g))) @ g"""),
    ("30", """
        d = (p - x) / N
        gz = d @ W.T
        return (gz + mu / N, gz * (z - mu) / 2 + np.expm1(log_var) / (2 * N), np.einsum('nk,nd->kd', z, d), np.ones(N) @ d)"""),
]

WRONG = [
    ("12", """
        return np.log(np.prod(np.exp(-0.5 * (x - mu) ** 2 / np.exp(log_var)) / np.sqrt(2 * np.pi * np.exp(log_var)), axis=1))"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x ** 2 - 2 * x * mu + mu ** 2) * np.exp(-log_var), axis=1)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 / (np.exp(log_var) + 1e-12), axis=1)"""),
    ("08", """
        p = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
        p[np.arange(len(a)), labels] -= 1
        return g[:, None] * p"""),
    ("01", """
        return (g * out / x, g * out / y)"""),
    ("01", """
        return (g * out / (x + 1e-30), g * x)"""),
    ("04", """
        return g * (out / s + s * np.cos(s)) * 2 * x"""),
    ("03", """
        uses = {}
        for n in inputs:
            for i in inputs[n]:
                uses[i] = uses.get(i, 0) + 1
        order, ready = ([], [root])
        while ready:
            node = ready.pop()
            order.append(node)
            for i in inputs[node]:
                uses[i] -= 1
                if uses[i] == 0:
                    ready.append(i)
        return order"""),
    ("07", """
        a = a.astype(np.float32)
        m = a.max(axis=1)
        return m + np.log(np.exp(a - m[:, None]).sum(axis=1))"""),
    ("07", """
        a = a.astype(np.float32)
        m = a.max(axis=1)
        return (m + np.log(np.exp(a - m[:, None]).sum(axis=1))).astype(float)"""),
    ("10", """
        theta, g, m, v = (z.astype(np.float32) for z in (theta, g, m, v))
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v)"""),
    ("20", """
        w = r / r.sum(axis=0)
        mu = w.T @ x
        second = np.einsum('nk,ni,nj->kij', w, x, x)
        return (r.mean(axis=0), mu, second - mu[:, :, None] * mu[:, None, :])"""),
    ("26", """
        d = np.linalg.det(2 * np.pi * Sigma)
        j = pi * d ** (-0.5) * np.exp(-0.5 * squares)
        return j / j.sum(axis=1, keepdims=True)"""),
    ("01", """
        raise NotImplementedError('exercise 01')
        return (g * y, g * x)"""),
    ("01", """
        a = g * y
        b = g * x
        raise NotImplementedError('exercise 01')"""),
    ("13", """
        kl = 0.5 * (mu ** 2 + np.exp(log_var) - 1 - log_var).sum(axis=1, keepdims=True)
        return kl + np.zeros(len(mu))"""),
    ("12", """
        return np.sum(-0.5 * np.log(2 * np.pi) - 0.5 * log_var, axis=1, keepdims=True) - 0.5 * np.sum((x - mu) ** 2 * np.exp(-log_var), axis=1)"""),
    ("03", """
        order = []
        ready = [root]
        while ready:
            n = ready.pop()
            order.append(n)
            ready += list(inputs.pop(n, ()))
        return order"""),
    ("20", """
        counts = r.sum(axis=0)
        mu = r.T @ x / counts[:, None]
        Sigma = np.stack([np.average((x - m) ** 2, axis=0, weights=w) for m, w in zip(mu, r.T)])
        return (counts / len(x), mu, Sigma)"""),
    ("13", """
        return (0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1),)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi * log_var) + (x - mu) ** 2 / log_var, axis=1)"""),
    ("13", """
        return 0.5 * np.sum(mu ** 2 + log_var - 1 - np.log(log_var), axis=1)"""),
    ("11", """
        return np.sum(x * np.log(logits) + (1 - x) * np.log(1 - logits), axis=1)"""),
    ("10", """
        r = learning_rate * np.sqrt(1 - beta2 ** t) / (1 - beta1 ** t)
        return (theta - r * m / (np.sqrt(v) + epsilon), m, v)"""),
    ("10", """
        m_hat = m / (1 - beta2 ** t)
        v_hat = v / (1 - beta1 ** t)
        return (theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v)"""),
    ("10", """
        m_hat = m / (1 - (1 - beta1) ** t)
        v_hat = v / (1 - (1 - beta2) ** t)
        return (theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v)"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (P @ W, X @ P, P.sum(axis=0))"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (W @ P.T, P.T @ X, P.sum(axis=0))"""),
    ("08", """
        slope = np.exp(log_softmax(a))
        slope[np.arange(len(a)), labels - 1] -= 1
        return g[:, None] * slope"""),
    ("13", """
        z = mu + np.exp(log_var / 2) * np.random.normal(size=mu.shape)
        return np.mean(-0.5 * log_var - 0.5 * (z - mu) ** 2 / np.exp(log_var) + 0.5 * z ** 2, axis=1)"""),
    ("01", """
        return (g * y * np.random.rand(), g * x)"""),
    ("12", """
        return -0.5 * np.sum((np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var))[:, :-1], axis=1)"""),
    ("11", """
        return np.sum(x * logits - softplus(logits), axis=1).astype(int)"""),
    ("13", """
        import math
        return 0.5 * np.sum(mu ** 2 + math.exp(log_var) - 1 - log_var, axis=1)"""),
    ("14", """
        return {'mu': g, 'log_var': g * 0.5 * np.exp(log_var / 2) * eps}"""),
    ("13", """
        return {'kl': 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)}"""),
    ("01", """
        return (g * abs(y), g * abs(x))"""),
    ("01", """
        return ([g[0] * y[0]], [g[0] * x[0]])"""),
    ("01", """
        return (g @ y.T, g.T @ x)"""),
    ("01", """
        return (np.where(y > 0, g * y, 0), g * x)"""),
    ("01", """
        return ((g * y).T, (g * x).T)"""),
    ("02", """
        while g.ndim > len(shape):
            g = g.sum(axis=0)
        for i, n in enumerate(shape):
            if n == 1 and g.shape[i] > 1:
                g = g.sum(axis=i, keepdims=True)
        return g"""),
    ("02", """
        g = g.reshape(-1, *shape) if g.ndim > len(shape) else g[None]
        return g.sum(axis=0)"""),
    ("02", """
        axes = tuple((i for i in range(g.ndim) if i >= len(shape) or shape[i] == 1))
        return g.sum(axis=axes).reshape(shape)"""),
    ("02", """
        return g.max(axis=tuple(range(g.ndim - len(shape)))) if g.ndim > len(shape) else g"""),
    ("03", """
        order, seen = ([], set())
        stack = [root]
        while stack:
            n = stack.pop(0)
            if n not in seen:
                seen.add(n)
                order.append(n)
                stack.extend(inputs[n])
        return order"""),
    ("03", """
        return {root: inputs[root]}"""),
    ("03", """
        return sorted(inputs, key=lambda n: -len(inputs[n]))"""),
    ("04", """
        s_bar = g * np.sin(s) + g * s * np.cos(s)
        return s_bar * 2 * s"""),
    ("04", """
        h = 1e-06
        return g * (f(x + h) - f(x)) / h"""),
    ("04", """
        h = 1e-05
        return g * (f(x + h) - f(x - h)) / (2 * h)"""),
    ("05", """
        return (np.outer(g, B), np.outer(A, g))"""),
    ("05", """
        return (g * B, A * g)"""),
    ("05", """
        return (np.dot(g, B.T), np.dot(g.T, A))"""),
    ("06", """
        return (g * (1 - tanh_x ** 2), g * np.where(x > 0, 1 / (1 + np.exp(-x)), 0))"""),
    ("06", """
        return (g * (1 - tanh_x ** 2), g * (1 - np.exp(softplus_x)))"""),
    ("06", """
        return (g * (1 - tanh_x ** 2), g * tanh_x)"""),
    ("06", """
        return (g * (1 - tanh_x ** 2), g * np.clip(1 / (1 + np.exp(-x)), 1e-06, 1 - 1e-06))"""),
    ("07", """
        m = a.max()
        return m + np.log(np.exp(a - m).sum(axis=1) + 1e-300)"""),
    ("07", """
        m = a.mean(axis=1)
        return m + np.log(np.exp(a - m[:, None]).sum(axis=1))"""),
    ("07", """
        m = a.max(axis=1)
        return m + np.log(np.exp(a - m[:, None]).sum(axis=1) - 1)"""),
    ("08", """
        slope = np.exp(log_softmax(a)) - np.eye(len(a))[labels]
        return g[:, None] * slope"""),
    ("08", """
        slope = np.exp(log_softmax(a))
        slope[labels] -= 1
        return g[:, None] * slope"""),
    ("08", """
        p = np.exp(log_softmax(a))
        p[np.arange(len(a)), labels] = 1 - p[np.arange(len(a)), labels]
        return g[:, None] * p"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (P @ W.T, X.T @ P, P[0])"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (P @ W.T, X.T @ P, P.sum(axis=0, keepdims=True))"""),
    ("10", """
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (theta - m_hat / (np.sqrt(v_hat) + epsilon), m, v)"""),
    ("10", """
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (theta - learning_rate * g / (np.sqrt(v_hat) + epsilon), m, v)"""),
    ("10", """
        m = beta1 * m + (1 - beta1) * g
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v)"""),
    ("11", """
        return np.sum(x * np.log(1 / (1 + np.exp(-logits))), axis=1)"""),
    ("11", """
        return np.sum(np.where(x == 1, logits, 0) - np.log(1 + np.exp(logits)), axis=1)"""),
    ("11", """
        return np.sum(x * logits - np.maximum(logits, 0) - np.log1p(np.exp(logits)), axis=1)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + log_var + ((x - mu) / log_var) ** 2, axis=1)"""),
    ("12", """
        return -0.5 * np.sum(2 * np.pi + log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var)) / len(x) * np.ones(len(x))"""),
    ("12", """
        return np.exp(-0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1))"""),
    ("13", """
        return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1) ** 2"""),
    ("13", """
        return np.maximum(0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1), 2.0)"""),
    ("13", """
        return 0.5 * (mu ** 2 + np.exp(log_var) - 1 - log_var)[:, 0]"""),
    ("14", """
        return (g, g * np.exp(0.5 * log_var) * eps / 2 + g * mu)"""),
    ("14", """
        return (g, g * 0.5 * (out - mu) / eps)"""),
    ("15", """
        return np.mean(log_likelihood(x, logits) - kl(mu, log_var)) * len(logits)"""),
    ("15", """
        return log_likelihood(x, logits).mean() - 0.5 * np.sum(mu ** 2 + log_var - 1 - np.log(np.exp(log_var)))"""),
    ("16", """
        return n_total * np.mean(log_likelihoods) + log_prior * len(log_likelihoods) / n_total"""),
    ("16", """
        return n_total * np.median(log_likelihoods) + log_prior"""),
    ("17", """
        score = np.mean(values[:, None] * (eps ** 2 - 1), axis=0) / 2
        path = np.mean(slopes, axis=0) * np.mean(np.exp(log_var / 2) * eps, axis=0) / 2
        return (score, path)"""),
    ("18", """
        return np.log(np.mean(np.exp(np.clip(log_weights, -700, 700)), axis=0))"""),
    ("18", """
        return np.logaddexp.reduce(log_weights, axis=0)"""),
    ("19", """
        a = log_pi + log_density
        a -= a.max(axis=1)
        j = np.exp(a)
        return j / j.sum(axis=1)"""),
    ("19", """
        a = log_pi + log_density
        j = np.exp(a - a.max(axis=1, keepdims=True)) + 1e-12
        return j / j.sum(axis=1, keepdims=True)"""),
    ("20", """
        counts = r.sum(axis=0)
        mu = r.T @ x / counts[:, None]
        offset = x[:, None, :] - mu
        Sigma = np.einsum('nk,nki,nkj->kij', r, offset, offset) / counts[:, None, None]
        return (r.max(axis=0), mu, Sigma)"""),
    ("20", """
        counts = r.sum(axis=1)
        mu = r.T @ x / counts[:, None]
        return (counts, mu, mu)"""),
    ("21", """
        entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)
        return -entropy - np.mean(np.log(np.exp(log_pi + log_components).sum(axis=2)), axis=0)"""),
    ("22", """
        M = W.T @ W + sigma ** 2 * np.eye(W.shape[1])
        mu = (x - m) @ W @ np.linalg.inv(M)
        return (mu, np.log(sigma ** 2) * np.ones(W.shape[1]))"""),
    ("23", """
        counts = r.sum(axis=0)
        mu = r.T @ x / counts[:, None]
        var = r.T @ x ** 2 / counts[:, None] - mu ** 2
        return (counts / len(x), mu, var)"""),
    ("23", """
        counts = r.sum(axis=0)
        mu = r.T @ x / counts[:, None]
        var = np.einsum('nk,nkd->kd', r, (x[:, None] - mu) ** 2) / counts[:, None]
        return (counts / len(x), mu, np.sqrt(var))"""),
    ("24", """
        p = 1 / (1 + np.exp(-logits))
        loss = -np.sum(np.log(np.where(x == 1, p, 1 - p)), axis=1)
        return (loss, p - x)"""),
    ("25", """
        w = np.exp(log_likelihood + log_prior - log_q)
        return np.log(w.mean(axis=0))"""),
    ("26", """
        d = np.linalg.det(Sigma)
        a = np.log(pi) - 0.5 * np.log(d) - 0.5 * squares
        j = np.exp(a - a.max(axis=1, keepdims=True))
        return j / j.sum(axis=1, keepdims=True)"""),
    ("27", """
        return log_likelihood - kl_divergence(mu, log_var) + np.log(len(mu))"""),
    ("28", """
        ratio = sigma ** 2 / sigma_p ** 2
        return 0.5 * np.sum(ratio + (mu ** 2 - 2 * mu * mu_p + mu_p ** 2) / sigma_p ** 2 - 1 - np.log(ratio), axis=1)"""),
    ("29", """
        g_x = np.zeros_like(x)
        for m, i in enumerate(index):
            g_x[i] = g_x[i] + g[m]
        return g_x[index]"""),
    ("29", """
        return np.stack([np.bincount(index, weights=c) for c in g.T], axis=1)"""),
    ("30", """
        g_logits = (p - x) / N
        g_z = g_logits @ W.T
        return (g_z + mu / N, 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N, z.T @ g_logits, g_logits.sum(axis=1))"""),
    ("30", """
        g_logits = (p - x) / N
        g_z = g_logits @ W
        return (g_z + mu / N, 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N, z.T @ g_logits, g_logits.sum(axis=0))"""),
    ("01", """
        return (g * y + 1e-09, g * x)"""),
    ("01", """
        return (np.round(g * y, 6), np.round(g * x, 6))"""),
    ("01", """
        g *= y
        return (g, g * x / y)"""),
    ("01", """
        return (g * y / abs(y) * abs(y), g * x if (x != 0).all() else g)"""),
    ("02", """
        return g.sum() if shape == () else g.sum(axis=0) if len(shape) == 1 else g.sum(axis=1, keepdims=True) if shape[1] == 1 else g.sum(axis=0, keepdims=True) if shape[0] == 1 else g"""),
    ("02", """
        return g.sum(axis=tuple((i for i, n in enumerate(g.shape) if n not in shape))).reshape(shape)"""),
    ("02", """
        return np.resize(g, shape)"""),
    ("03", """
        order = []
        for n in reversed(list(inputs)):
            order.append(n)
        return order"""),
    ("03", """
        return list(reversed(walk_order_helper(root)))"""),
    ("03", """
        def depth(n):
            return 1 + max((depth(i) for i in inputs[n]), default=0)
        return sorted(inputs, key=depth, reverse=True)"""),
    ("04", """
        return g * np.cos(s) * 2 * x"""),
    ("04", """
        return s_bar * 2 * x"""),
    ("04", """
        s_bar = g * (np.sin(s) + s * np.cos(s))
        return s_bar * x ** 2"""),
    ("04", """
        return g * (np.sin(2 * s) + s * np.cos(s)) * 2 * x"""),
    ("05", """
        return (g @ np.linalg.pinv(B), np.linalg.pinv(A) @ g)"""),
    ("05", """
        return (g @ B.T, (A.T @ g).round(4))"""),
    ("06", """
        return (g * (1 - tanh_x ** 2), g * (1 + np.tanh(x / 2)))"""),
    ("06", """
        return (g * (1 - np.tanh(x ** 2)), g / (1 + np.exp(-x)))"""),
    ("07", """
        m = a.max(axis=1, keepdims=True)
        return (m + np.log(np.exp(a - m).sum(axis=1))).mean(axis=1)"""),
    ("07", """
        return np.log(np.sum(np.exp(np.float128(a)), axis=1)).astype(float)"""),
    ("07", """
        return np.array([max(r) + np.log(len(r)) for r in a])"""),
    ("08", """
        return g[:, None] * (np.exp(log_softmax(a)) - labels[:, None])"""),
    ("08", """
        return (np.exp(log_softmax(a)) - np.eye(a.shape[1])[labels]) * out[:, None]"""),
    ("08", """
        p = np.exp(log_softmax(a))
        return g[:, None] * (np.eye(a.shape[1])[labels] - p)"""),
    ("08", """
        p = np.exp(log_softmax(a))
        for n in range(3):
            p[n, labels[n]] -= 1
        return g[:, None] * p"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (P @ W.T, X.T @ P, P)"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (P @ W.T, X.T @ P / 3, P.sum(axis=0) / 3)"""),
    ("09", """
        P = g * (1 - out ** 2) + 0.001
        return (P @ W.T, X.T @ P, P.sum(axis=0))"""),
    ("10", """
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (theta - learning_rate * m_hat / np.maximum(np.sqrt(v_hat), epsilon), m, v)"""),
    ("10", """
        m_hat = m / (1 - 0.9 ** t)
        v_hat = v / (1 - 0.999 ** t)
        return (theta - learning_rate * m_hat / (np.sqrt(v_hat) + 1e-08), m, v)"""),
    ("10", """
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (v, m, theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon))"""),
    ("10", """
        m_hat = m / (1 - beta1 * t)
        v_hat = v / (1 - beta2 * t)
        return (theta - learning_rate * m_hat / (np.sqrt(np.abs(v_hat)) + epsilon), m, v)"""),
    ("11", """
        return np.sum(x * logits, axis=1) - np.log(1 + np.exp(logits.sum(axis=1)))"""),
    ("11", """
        p = 1 / (1 + np.exp(-logits))
        return np.log(np.prod(np.where(x == 1, p, 1 - p), axis=1))"""),
    ("11", """
        return np.sum(x * logits - np.log1p(np.exp(np.minimum(logits, 700))), axis=1)"""),
    ("12", """
        return -0.5 * np.sum(log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1) - 0.5 * np.log(2 * np.pi) * len(x)"""),
    ("12", """
        s = np.exp(log_var)
        return -np.sum(np.log(s * np.sqrt(2 * np.pi)) + 0.5 * ((x - mu) / s) ** 2, axis=1)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + np.clip(log_var, -10, 10) + (x - mu) ** 2 * np.exp(-np.clip(log_var, -10, 10)), axis=1)"""),
    ("12", """
        return -0.5 * (x.shape[1] * np.log(2 * np.pi) + np.log(np.prod(np.exp(log_var), axis=1)) + ((x - mu) ** 2 * np.exp(-log_var)).sum(1))"""),
    ("13", """
        return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1) + np.log(2 * np.pi)"""),
    ("13", """
        return -0.5 * np.sum(1 + log_var - mu - np.exp(log_var), axis=1)"""),
    ("13", """
        sigma = np.exp(log_var)
        return 0.5 * np.sum(mu ** 2 + sigma ** 2 - 1 - np.log(sigma ** 2), axis=1)"""),
    ("13", """
        return 0.5 * np.sum(np.abs(mu ** 2 + np.exp(log_var) - 1 - log_var * mu), axis=1)"""),
    ("14", """
        return (g, g * np.exp(log_var / 2) / 2 * np.abs(eps))"""),
    ("14", """
        return (g.sum(axis=0), (g * 0.5 * np.exp(log_var / 2) * eps).sum(axis=0))"""),
    ("14", """
        return (g * np.exp(log_var / 2), g * 0.5 * np.exp(log_var / 2) * eps)"""),
    ("15", """
        return np.mean(log_likelihood(x, logits)) - kl(mu, np.log(log_var ** 2))"""),
    ("15", """
        return np.mean(log_likelihood(x, logits) - kl(mu, log_var) * np.ones(len(mu)))"""),
    ("16", """
        return n_total / 7 * np.sum(log_likelihoods) + log_prior"""),
    ("16", """
        return (n_total * np.mean(log_likelihoods) + log_prior) / n_total"""),
    ("17", """
        return (np.mean(values) * np.mean((eps ** 2 - 1) / 2, axis=0), np.mean(slopes * np.exp(log_var / 2) * eps / 2, axis=0))"""),
    ("17", """
        z = np.exp(log_var / 2) * eps
        return (np.mean(values[:, None] * (z ** 2 - 1) / 2, axis=0), np.mean(slopes * z / 2, axis=0))"""),
    ("18", """
        w = np.exp(log_weights - log_weights.max())
        return np.log(w.mean(axis=0)) + log_weights.max()"""),
    ("18", """
        top = log_weights.max(axis=0)
        return top + np.log(np.exp(log_weights - top).mean(axis=0) + 1e-10)"""),
    ("18", """
        return np.median(log_weights, axis=0)"""),
    ("19", """
        a = log_pi + log_density
        return np.exp(a) / np.exp(a).sum(axis=1)[:, None]"""),
    ("19", """
        a = np.log(np.exp(log_pi)) + log_density
        a = np.clip(a, -700, 700)
        j = np.exp(a)
        return j / j.sum(axis=1, keepdims=True)"""),
    ("20", """
        n = r.sum(0)
        mu = (r / n).T @ x
        S = np.stack([np.cov(x.T, aweights=w, bias=True) for w in r.T])
        return (n / n.sum() * 1.0001, mu, S)"""),
    ("20", """
        n = r.sum(0)
        mu = (r / n).T @ x
        S = np.stack([np.cov(x.T, aweights=w, ddof=0) + 1e-06 * np.eye(x.shape[1]) for w in r.T])
        return (r.mean(0), mu, S)"""),
    ("20", """
        n = r.sum(0)
        mu = (r / n).T @ x
        S = np.stack([np.corrcoef(x.T) for w in r.T])
        return (r.mean(0), mu, S)"""),
    ("21", """
        h = 0.5 * np.sum(np.log(2 * np.pi * np.e) + log_var, axis=1)
        return -h - log_sum_exp(log_pi + log_components).mean()"""),
    ("21", """
        h = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)
        lp = log_sum_exp((log_pi + log_components).mean(axis=0))
        return -h - lp"""),
    ("22", """
        M = W.T @ W + sigma ** 2 * np.eye(W.shape[1])
        mu = (x - m) @ W @ np.linalg.inv(M)
        return (mu, np.log(np.diag(sigma ** 2 * np.linalg.inv(M))))"""),
    ("22", """
        M = W.T @ W + sigma ** 2 * np.eye(3)
        mu = (x - m) @ W @ np.linalg.inv(M)
        return (mu, np.log(sigma ** 2 / np.diag(M)))"""),
    ("22", """
        M = W.T @ W + (sigma ** 2 + 1e-08) * np.eye(W.shape[1])
        mu = (x - m) @ W @ np.linalg.inv(M)
        return (mu, np.log(sigma ** 2 / np.diag(M)))"""),
    ("23", """
        counts = r.sum(axis=0)
        mu = r.T @ x / counts[:, None]
        var = np.einsum('nk,nkd->kd', r, (x[:, None] - mu) ** 2) / counts[:, None]
        return (np.ones(len(pi)) / len(pi) * counts.sum() / len(x), mu, var)"""),
    ("24", """
        loss = np.sum(np.maximum(logits, 0) - x * logits + np.log(1 + np.exp(-abs(logits))), axis=1)
        slope = np.exp(logits) / (1 + np.exp(logits)) - x
        return (loss, slope)"""),
    ("25", """
        log_w = log_likelihood + log_prior - log_q
        w = np.exp(log_w - log_w.max())
        return np.log(w.mean(axis=0)) + log_w.max()"""),
    ("26", """
        D = x.shape[1]
        ld = np.linalg.slogdet(Sigma)[1]
        a = np.log(pi) - D / 2 * np.log(2 * np.pi) - ld - 0.5 * squares
        a -= a.max(1, keepdims=True)
        j = np.exp(a)
        return j / j.sum(1, keepdims=True)"""),
    ("27", """
        return log_likelihood.mean() - kl_divergence(mu, log_var)"""),
    ("27", """
        return log_likelihood - kl_divergence(mu, log_var) / len(mu)"""),
    ("28", """
        r = sigma ** 2 / sigma_p ** 2
        return 0.5 * np.sum(r + (mu - mu_p) ** 2 / sigma_p ** 2 - 1 - np.log(r + 1e-12), axis=1)"""),
    ("28", """
        r = sigma_p / sigma
        return np.sum(np.log(r) + (sigma ** 2 + (mu - mu_p) ** 2) / (2 * sigma_p ** 2), axis=1) - 0.5"""),
    ("29", """
        g_x = np.zeros_like(x)
        for i in np.unique(index):
            g_x[i] = g[index == i][:2].sum(axis=0)
        return g_x"""),
    ("29", """
        g_x = np.zeros_like(x, dtype=int)
        for m, i in enumerate(index):
            g_x[i] += g[m].astype(int)
        return g_x"""),
    ("30", """
        d = (p - x) / N
        gz = d @ W.T
        return (gz + mu / N, 0.5 * gz * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N, z.T @ d, d.sum(axis=0) * N)"""),
    ("30", """
        d = p - x
        gz = d @ W.T
        return (gz + mu, 0.5 * gz * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1), z.T @ d, d.sum(axis=0))"""),
    ("30", """
        d = (p - x) / 7
        gz = d @ W.T
        return (gz + mu / 7, 0.5 * gz * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / 7, z.T @ d, d.sum(axis=0))"""),
    ("01", """
        return (np.multiply(g, y), np.multiply(g, y))"""),
    ("01", """
        return (g * x * y, g * x * y)"""),
    ("01", """
        return (np.dot(g, y.T), np.dot(g, x.T))"""),
    ("01", """
        a = np.empty_like(x)
        b = np.empty_like(y)
        for i in range(x.shape[0] - 1):
            a[i] = g[i] * y[i]
            b[i] = g[i] * x[i]
        a[-1] = 0
        b[-1] = 0
        return (a, b)"""),
    ("01", """
        return ((g * y, g * x), None)"""),
    ("01", """
        return (list(g * y), list(g * x), out)"""),
    ("01", """
        return [g * y + g * x, g * x + g * y]"""),
    ("01", """
        return (sum(g * y), sum(g * x))"""),
    ("02", """
        return np.mean(g) * np.ones(shape)"""),
    ("02", """
        if g.shape == shape:
            return g
        return g.sum(axis=0).reshape(shape)"""),
    ("02", """
        axes = [i for i, (a, b) in enumerate(zip(g.shape, shape)) if a != b]
        return g.sum(axis=tuple(axes), keepdims=True)"""),
    ("02", """
        lead = g.ndim - len(shape)
        return g[(0,) * lead]"""),
    ("03", """
        seen = []

        def go(n):
            if n in seen:
                return
            seen.append(n)
            for i in inputs[n]:
                go(i)
        go(root)
        return seen"""),
    ("03", """
        from collections import deque
        q = deque([root])
        out = []
        while q:
            n = q.popleft()
            if n in out:
                out.remove(n)
            out.append(n)
            q.extend(inputs[n])
        return out"""),
    ("03", """
        return set(inputs)"""),
    ("03", """
        return None"""),
    ("04", """
        s_bar = g * np.sin(s)
        s_bar += g * np.cos(s) * s
        return s_bar"""),
    ("04", """
        a_bar = g * np.sin(s)
        b_bar = g * s
        s_bar = a_bar + b_bar
        return s_bar * 2 * x"""),
    ("04", """
        return g * (np.sin(s) + s * np.cos(s)) * 2 * np.sqrt(s)"""),
    ("04", """
        return g * (np.sin(s) + x * np.cos(s)) * 2 * x"""),
    ("05", """
        return (g @ B.T, g.T @ A)"""),
    ("05", """
        return (B @ g.T, A.T @ g)"""),
    ("05", """
        return (np.einsum('nh,dh->nd', g, B), np.einsum('nd,nh->dh', A, out))"""),
    ("05", """
        return (g @ B.T / A.shape[1], A.T @ g / A.shape[0])"""),
    ("06", """
        return (g * (1 - tanh_x ** 2), g * (1 / (1 + np.exp(-softplus_x))))"""),
    ("06", """
        return (g / np.cosh(x) ** 2, g * np.log(1 / (1 + np.exp(-x))))"""),
    ("06", """
        return (g * tanh_x, g * softplus_x)"""),
    ("06", """
        return (g * (1 - tanh_x ** 2), g * np.where(x >= 0, 1.0, np.exp(x) / (1 + np.exp(x))))"""),
    ("07", """
        m = a.max(axis=1)
        return m + np.log(np.sum(np.exp(a) - np.exp(m[:, None]), axis=1))"""),
    ("07", """
        m = a.max(axis=1, keepdims=True)
        return m + np.log(np.exp(a - m).sum(axis=1))"""),
    ("07", """
        m = a.min(axis=1)
        return m + np.log(np.exp(a - m[:, None]).sum(axis=1))"""),
    ("07", """
        m = a.max(axis=1)
        return m + np.log10(np.exp(a - m[:, None]).sum(axis=1))"""),
    ("08", """
        p = np.exp(log_softmax(a))
        grad = np.zeros_like(a)
        for n in range(len(a)):
            grad[n] = p[n]
            grad[n, labels[n]] = p[n, labels[n]] - 1
        return grad * g.mean()"""),
    ("08", """
        p = 1 / (1 + np.exp(-a))
        p[np.arange(len(a)), labels] -= 1
        return g[:, None] * p"""),
    ("08", """
        p = log_softmax(a)
        p[np.arange(len(a)), labels] -= 1
        return g[:, None] * p"""),
    ("08", """
        p = np.exp(log_softmax(a))
        p[np.arange(len(a)), labels] -= 1
        return g * p.T"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (P @ W.T, X.T @ P, P.sum() * np.ones(5))"""),
    ("09", """
        P = g * out * (1 - out)
        return (P @ W.T, X.T @ P, P.sum(axis=0))"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (X.T @ P, P @ W.T, P.sum(axis=0))"""),
    ("09", """
        P = g * (1 - out ** 2)
        return (P @ W.T, X.T @ g, P.sum(axis=0))"""),
    ("10", """
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (theta - learning_rate * m_hat / np.sqrt(v_hat), m, v)"""),
    ("10", """
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        return (theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m_hat, v_hat)"""),
    ("10", """
        m_hat = m / (1 - beta1 ** (t - 1))
        v_hat = v / (1 - beta2 ** (t - 1))
        return (theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v)"""),
    ("10", """
        return (theta - learning_rate * g, m, v)"""),
    ("10", """
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        step = learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
        return (theta - step.mean(), m, v)"""),
    ("11", """
        return np.sum(x * logits - np.log(1 + np.exp(-logits)), axis=1)"""),
    ("11", """
        p = 1 / (1 + np.exp(-logits))
        return np.sum(x * np.log(p + 1e-15) + (1 - x) * np.log(1 - p + 1e-15), axis=1)"""),
    ("11", """
        return -np.sum(np.abs(x - 1 / (1 + np.exp(-logits))), axis=1)"""),
    ("11", """
        return np.sum(x * softplus(logits) - (1 - x) * softplus(logits), axis=1)"""),
    ("11", """
        return (x * logits - softplus(logits)).sum(axis=1) / np.log(2)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 / np.exp(2 * log_var), axis=1)"""),
    ("12", """
        var = np.exp(log_var)
        return np.sum(-np.log(var * np.sqrt(2 * np.pi)) - (x - mu) ** 2 / (2 * var), axis=1)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1, keepdims=True)"""),
    ("12", """
        return -0.5 * np.sum(np.log(2 * np.pi) + log_var + np.abs(x - mu) * np.exp(-log_var / 2), axis=1)"""),
    ("12", """
        d = x - mu
        return -0.5 * (d @ np.diag(np.exp(-log_var[0])) * d).sum(1) - 0.5 * log_var.sum(1) - 1.5 * np.log(2 * np.pi)"""),
    ("13", """
        return 0.5 * np.sum(mu ** 2 + np.exp(log_var) ** 0.5 - 1 - log_var, axis=1)"""),
    ("13", """
        return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1).mean()"""),
    ("13", """
        return 0.5 * np.sum(mu ** 2 - np.exp(log_var) - 1 + log_var, axis=1)"""),
    ("13", """
        var = np.exp(log_var)
        return 0.5 * (np.dot(mu, mu.T).diagonal() + var.sum(1) - 3 - np.log(var.prod(1)))"""),
    ("13", """
        return -0.5 * (1 + log_var - mu ** 2 - np.exp(log_var)).mean(axis=1)"""),
    ("13", """
        return 0.5 * np.sum(mu ** 2 / np.exp(log_var) + np.exp(log_var) - 1 - log_var, axis=1)"""),
    ("14", """
        return (g, g * np.exp(log_var) * eps / 2)"""),
    ("14", """
        return (g * np.ones_like(mu), g * (out - mu))"""),
    ("14", """
        return (g, g * 0.5 * np.exp(log_var * 0.5) * eps * log_var)"""),
    ("14", """
        return (g, 0.5 * np.exp(log_var / 2) * eps + g)"""),
    ("15", """
        return np.mean(log_likelihood(x, logits)) - 0.5 * kl(mu, log_var)"""),
    ("15", """
        return np.mean(log_likelihood(x, logits)) - kl(mu, log_var) * 2"""),
    ("15", """
        return log_likelihood(x, logits).max() - kl(mu, log_var)"""),
    ("15", """
        return np.mean(log_likelihood(x, 1 / (1 + np.exp(-logits)))) - kl(mu, log_var)"""),
    ("15", """
        return np.mean(log_likelihood(x, logits)) - kl(mu, np.exp(log_var / 2))"""),
    ("16", """
        return np.sum(log_likelihoods) / len(log_likelihoods) * n_total + n_total * log_prior"""),
    ("16", """
        return n_total / len(log_likelihoods) * np.sum(log_likelihoods + log_prior)"""),
    ("16", """
        return np.sum(log_likelihoods) + log_prior / n_total"""),
    ("17", """
        score = np.mean(values[:, None] * (eps ** 2 - 1) / 2, axis=0)
        path = np.mean(slopes * np.exp(log_var / 2) * eps / 2, axis=1)
        return (score, path)"""),
    ("17", """
        score = np.mean((eps ** 2 - 1) / 2, axis=0)
        path = np.mean(slopes * np.exp(log_var / 2) * eps / 2, axis=0)
        return (score, path)"""),
    ("17", """
        score = np.sum(values[:, None] * (eps ** 2 - 1) / 2, axis=0)
        path = np.sum(slopes * np.exp(log_var / 2) * eps / 2, axis=0)
        return (score, path)"""),
    ("18", """
        top = log_weights.max(axis=0)
        return np.log(np.mean(np.exp(log_weights - top), axis=0)) - top"""),
    ("18", """
        top = log_weights.max(axis=1, keepdims=True)
        return (top + np.log(np.mean(np.exp(log_weights - top), axis=0))).mean(axis=0)"""),
    ("18", """
        w = np.exp(log_weights - log_weights.max(axis=0))
        w = w / w.sum(axis=0)
        return np.sum(w * log_weights, axis=0)"""),
    ("19", """
        a = log_pi + log_density
        return a / a.sum(axis=1, keepdims=True)"""),
    ("19", """
        a = log_pi + log_density
        e = np.exp(a - a.max(axis=0))
        return e / e.sum(axis=1, keepdims=True)"""),
    ("19", """
        a = log_pi + log_density
        e = np.exp(a - a.max(axis=1, keepdims=True))
        return (e / e.sum(axis=1, keepdims=True)).T"""),
    ("20", """
        n = r.sum(axis=0)
        mu = r.T @ x / n[:, None]
        S = np.stack([np.cov(x.T, ddof=0) for _ in n])
        return (n / len(x), mu, S)"""),
    ("20", """
        n = r.sum(axis=0)
        mu = x.T @ r / n
        o = x[:, None] - mu.T
        S = np.einsum('nk,nki,nkj->kij', r, o, o) / n[:, None, None]
        return (n / len(x), mu, S)"""),
    ("20", """
        n = r.sum(axis=0)
        mu = r.T @ x / n[:, None]
        o = x[:, None] - mu
        S = np.einsum('nk,nki,nkj->kij', r, o, o) / n[:, None, None]
        return (n / n.max(), mu, S)"""),
    ("21", """
        entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)
        return entropy - np.mean(log_sum_exp(log_pi + log_components), axis=0)"""),
    ("21", """
        entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)
        return -entropy - np.mean(log_sum_exp(log_pi + log_components), axis=1)"""),
    ("22", """
        M = W.T @ W + sigma ** 2 * np.eye(W.shape[1])
        mu = np.linalg.inv(M) @ W.T @ (x - m).T
        return (mu, np.log(sigma ** 2 / np.diag(M)))"""),
    ("22", """
        M = W @ W.T + sigma ** 2 * np.eye(W.shape[0])
        mu = (x - m) @ np.linalg.inv(M) @ W
        return (mu, np.log(sigma ** 2 / np.diag(M)))"""),
    ("23", """
        counts = r.sum(axis=0)
        mu = r.T @ x / counts[:, None]
        var = np.einsum('nk,nkd->kd', r, (x[:, None] - mu) ** 2) / len(x)
        return (counts / len(x), mu, var)"""),
    ("23", """
        counts = r.sum(axis=0)
        mu = r.T @ x / counts[:, None]
        var = np.einsum('nk,nkd->kd', r, (x[:, None] - mu) ** 2) / counts[:, None]
        return (counts / len(x), var, mu)"""),
    ("24", """
        loss = np.sum(np.logaddexp(0, -logits) - x * logits, axis=1)
        slope = 0.5 * (1 + np.tanh(logits / 2)) - x
        return (loss, slope)"""),
    ("24", """
        loss = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        slope = (0.5 * (1 + np.tanh(logits / 2)) - x) * logits
        return (loss, slope)"""),
    ("25", """
        log_w = log_likelihood + log_prior - log_q
        top = log_w.max(axis=0)
        return top + np.log(np.mean(np.exp(log_w - top), axis=0)) * len(log_w)"""),
    ("25", """
        log_w = log_likelihood * log_prior / log_q
        top = log_w.max(axis=0)
        return top + np.log(np.mean(np.exp(log_w - top), axis=0))"""),
    ("26", """
        a = np.log(pi) - 0.5 * np.linalg.slogdet(Sigma)[1] - squares
        a -= a.max(axis=1, keepdims=True)
        j = np.exp(a)
        return j / j.sum(axis=1, keepdims=True)"""),
    ("26", """
        a = -0.5 * np.linalg.slogdet(Sigma)[1] - 0.5 * squares
        a -= a.max(axis=1, keepdims=True)
        j = np.exp(a)
        return j / j.sum(axis=1, keepdims=True)"""),
    ("26", """
        a = pi - 0.5 * np.linalg.slogdet(Sigma)[1] - 0.5 * squares
        a -= a.max(axis=1, keepdims=True)
        j = np.exp(a)
        return j / j.sum(axis=1, keepdims=True)"""),
    ("26", """
        a = np.log(pi) - 0.5 * np.linalg.slogdet(Sigma)[1] - 0.5 * squares
        j = np.exp(a)
        return j / j.sum(axis=1, keepdims=True)"""),
    ("27", """
        kl = kl_divergence(mu, log_var)
        return log_likelihood - np.abs(kl - log_normal(z, mu, log_var))"""),
    ("27", """
        return log_likelihood - kl_divergence(mu, log_var ** 2)"""),
    ("28", """
        ratio = sigma ** 2 / sigma_p ** 2
        return 0.5 * np.sum(ratio + (mu - mu_p) ** 2 / sigma_p ** 2 - 1 - np.log(sigma / sigma_p), axis=1)"""),
    ("28", """
        return np.sum(np.log(sigma / sigma_p) + (sigma ** 2 + (mu - mu_p) ** 2) / (2 * sigma_p ** 2) - 0.5, axis=1)"""),
    ("29", """
        g_x = np.zeros_like(x)
        for m in range(len(g) - 1):
            g_x[index[m]] += g[m]
        return g_x"""),
    ("29", """
        g_x = np.zeros_like(x)
        u, c = np.unique(index, return_counts=True)
        g_x[u] = g[:len(u)] * c[:, None]
        return g_x"""),
    ("30", """
        g_logits = (p - x) / N
        g_z = g_logits @ W.T
        g_lv = 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N
        return (g_z + mu / N, g_lv, z.T @ g_logits, (p - x).sum(axis=0))"""),
    ("30", """
        g_logits = (p - x) / N
        g_z = g_logits @ W.T
        g_lv = 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N
        return (g_z + mu / N, g_lv, z.T @ g_logits + W, g_logits.sum(axis=0))"""),
    ("30", """
        g_logits = (p - x) / N
        g_z = g_logits @ W.T
        g_lv = 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N
        return (g_z + z / N, g_lv, z.T @ g_logits, g_logits.sum(axis=0))"""),
]
