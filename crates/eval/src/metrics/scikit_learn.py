"""Prints what scikit-learn makes of the rankings in tests.rs (needs numpy and scikit-learn)."""

import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve


def ranking(n, n_scores):
    """Scores with many ties, and a truth that leans on them; the same integers as in tests.rs."""
    i = np.arange(n, dtype=np.uint64)
    score = (i * i * 31 + 7 * i) % n_scores
    dice = (i * 2654435761) % 2**32 % 1000
    return score.astype(float), dice < 20 + 300 * score // n_scores


print("scikit-learn", sklearn.__version__)
for n, n_scores in ((1000, 97), (1000, 3), (5000, 2003)):
    score, truth = ranking(n, n_scores)
    precision, recall, _ = precision_recall_curve(truth, score)
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall)).max()
    fpr, tpr, threshold = roc_curve(truth, score, drop_intermediate=False)
    flagged = np.array([(score >= t).sum() for t in threshold])
    within = [tpr[flagged <= share * n].max() for share in (0.005, 0.01, 0.05, 0.5)]
    at_full_recall = precision[np.flatnonzero(recall == 1.0).max()]
    print(f"check({n}, {n_scores}, Expected {{")
    print(f"    n_positives: {truth.sum()},")
    print(f"    average_precision: {average_precision_score(truth, score):.12f},")
    print(f"    f1_max: {f1:.12f},")
    print(f"    auc: {roc_auc_score(truth, score):.12f},")
    print(f"    recall_at: [{', '.join(f'{r:.12f}' for r in within)}],")
    print(f"    precision_at_recall_1: {at_full_recall:.12f},")
    print("});")
