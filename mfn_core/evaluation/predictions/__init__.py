"""The five predictions of the paper, each tested against its baseline: `p1` to `p5`.

Source: "Monosemantic Feature Neurons", preprint 202510.2064, section on falsifiable predictions. What it leaves open is
marked (ours) where it is decided.
"""
