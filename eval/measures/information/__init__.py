"""Mutual information behind one interface: `estimate_information(x, y, estimator=..., entropy=...)`.

| estimator | idea | use |
|---|---|---|
| `decoder` | I >= H(X) + E log q(x given y), H(X) known [Barber & Agakov 2003] | default where H(X) is known |
| `mine` | Donsker-Varadhan with a neural critic [Belghazi et al. 2018] | parity with the literature |
| `smile` | the same with a clipped partition term [Song & Ermon 2020] | lower variance |
| `infonce` | classification among a batch [van den Oord et al. 2018] | never above log(batch) |
| `ksg` | nearest neighbours, mixed data too [Kraskov 2004, Ross 2014, Gao 2017] | default elsewhere; few dimensions |
| `gaussian` | canonical correlations of a joint Gaussian | exact for Gaussians; undefined where the data are none |
"""

from eval.measures.information.estimate import ESTIMATORS, estimate_information
from eval.measures.information.information_estimate import InformationEstimate

__all__ = ["ESTIMATORS", "InformationEstimate", "estimate_information"]
