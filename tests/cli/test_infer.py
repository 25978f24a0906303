"""``minivae infer``: the table, the picture, and what it refuses."""

import re

import pytest

from minivae.cli import main


@pytest.mark.slow
def test_a_table_and_a_picture_of_one_datum(small_run, minivae, tmp_path):
    picture = tmp_path / "answers.png"
    status, out, err = minivae("infer", small_run, "--datum", 3, "--out", picture)
    assert status == 0, err
    assert re.search(r"^log p\(x\) = -[\d.]+ nats by the trapezoid rule", out)
    for name in ("encoder", "diagonal", "full", "flow", "importance", "metropolis", "hmc"):
        assert re.search(rf"^{name} +\d", out, re.MULTILINE), name
    assert max(map(len, out.splitlines())) <= 80
    assert "gaps: approximation" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"
    # KL(q || p) is log p(x) less the ELBO
    log_p = float(re.search(r"= (-[\d.]+) nats", out)[1])
    row = re.search(r"^encoder +\S+ +(\S+) +(\S+) +(\S+)", out, re.MULTILINE)
    elbo, error, kl = map(float, row.groups())
    assert abs(log_p - elbo - kl) < 5 * error + 0.01


def test_what_cannot_be_inferred_is_refused(small_run, small, minivae, tmp_path):
    status, _, err = minivae("infer", small_run, "--datum", 60)
    assert status == 2
    assert "there is no datum 60; the 60 test data" in err
    status, _, err = minivae("infer", small_run, "--datum", "x")
    assert status == 2
    assert "'x' should be a whole number from 0" in err
    status, _, err = minivae("infer", small_run, "--out", "answers.txt")
    assert status == 2
    assert "should end in .png" in err
    deep = tmp_path / "deep"
    assert main(["train", "--epochs", "1", "--latent-dim", "3", "--out", str(deep), *small]) == 0
    status, _, err = minivae("infer", deep)
    assert status == 2
    assert "a latent space of 3 dimensions; the exact posterior needs a grid" in err
