# Copyright (c) mmseg_semi authors.
"""The papers' equations: functions of tensors, without config or state."""
from .class_balance import balancing_weights, class_counts, weights_at
from .clustering import class_prototypes, kmeans, most_scattered, scatter_score
from .color import (COLOR_LAWS, COLOUR_CHANGES, add_brightness,
                    adjust_brightness, adjust_contrast, adjust_hue,
                    adjust_saturation, gaussian_blur, scale_saturation)
from .contrast import (best_rows, class_cosine, class_directions,
                       contrastive_loss, masked_batch_norm,
                       memory_rows_per_image, quality_filter)
from .ema import ema_update
from .filters import (confidence_filter, entropy_filter, masked_percentile,
                      predictions, softmax_entropy)
from .losses import (NORMALIZERS, cross_entropy, global_mean,
                     ohem_cross_entropy, pixel_entropies, pixel_losses)
from .mask_losses import mask_dice_loss, mask_focal_loss
from .maximum import max_along
from .mixing import (class_masks, cutout, half_area_boxes, mix, single_boxes,
                     xor_boxes)
from .per_class import class_mlp
from .pixel_rows import nearest, rows_at
from .precision import full_precision, upcast
from .prototype_assignment import (ASSIGNMENTS, activation_logits,
                                   class_scores, draw_prototypes,
                                   prototypes_per_class)
from .prototype_contrast import (draw_partners, draw_per_prototype,
                                 prototype_contrast)
from .prototypes import (assigned_sums, moved_prototypes, prototype_logits,
                         prototype_loss, prototype_similarity)
from .regions import (SIMILARITIES, UNIONS, Segments, matched_rows,
                      named_classes, pseudo_segments, region_classification,
                      region_contrast, region_cosines, region_features,
                      region_similarity, union_logits)
from .sampling import (draw_positions, features_at, grid_features,
                       grid_positions)
from .schedules import (confidence_schedule, cosine_ema_momentum, ema_momentum,
                        iters_per_epoch, keep_percent, sampling_window,
                        warm_up)
from .set_matching import COST_WEIGHTS, match, match_on_host, matching_costs
from .squared import squared_errors
from .thresholds import class_confidence_sums, moved_thresholds
from .unreliable_negatives import (RELIABLE, anchor_mean, class_ranks,
                                   class_sums, draw_candidates, draw_negatives,
                                   labeled_negatives, negative_contrast,
                                   reliability, unreliable_negatives)
from .warping import Placement, draw_placements, place

__all__ = [
    'COLOUR_CHANGES', 'ASSIGNMENTS', 'COLOR_LAWS', 'COST_WEIGHTS',
    'NORMALIZERS', 'Placement', 'RELIABLE', 'SIMILARITIES', 'Segments',
    'UNIONS', 'activation_logits', 'add_brightness', 'adjust_brightness',
    'adjust_contrast', 'adjust_hue', 'adjust_saturation', 'anchor_mean',
    'assigned_sums', 'balancing_weights', 'best_rows', 'class_confidence_sums',
    'class_cosine', 'class_counts', 'class_directions', 'class_masks',
    'class_mlp', 'class_prototypes', 'class_ranks', 'class_scores',
    'class_sums', 'confidence_filter', 'confidence_schedule',
    'contrastive_loss', 'cosine_ema_momentum', 'cross_entropy', 'cutout',
    'draw_candidates', 'draw_negatives', 'draw_partners', 'draw_per_prototype',
    'draw_placements', 'draw_positions', 'draw_prototypes', 'ema_momentum',
    'ema_update', 'entropy_filter', 'features_at', 'full_precision',
    'gaussian_blur', 'global_mean', 'grid_features', 'grid_positions',
    'half_area_boxes', 'iters_per_epoch', 'keep_percent', 'kmeans',
    'labeled_negatives', 'mask_dice_loss', 'mask_focal_loss',
    'masked_batch_norm', 'masked_percentile', 'match', 'match_on_host',
    'matched_rows', 'matching_costs', 'max_along', 'memory_rows_per_image',
    'mix', 'most_scattered', 'moved_prototypes', 'moved_thresholds',
    'named_classes', 'nearest', 'negative_contrast', 'ohem_cross_entropy',
    'pixel_entropies', 'pixel_losses', 'place', 'predictions',
    'prototype_contrast', 'prototype_logits', 'prototype_loss',
    'prototype_similarity', 'prototypes_per_class', 'pseudo_segments',
    'quality_filter', 'region_classification', 'region_contrast',
    'region_cosines', 'region_features', 'region_similarity', 'reliability',
    'rows_at', 'sampling_window', 'scale_saturation', 'scatter_score',
    'single_boxes', 'softmax_entropy', 'squared_errors', 'union_logits',
    'unreliable_negatives', 'upcast', 'warm_up', 'weights_at', 'xor_boxes'
]
