# Copyright (c) mmseg_semi authors.
"""Looking into trained models."""
from .activation import ActivatedImage, activate, choose_prototypes
from .class_scatter import ClassScatter, VarianceTraces
from .features import (FeatureReader, find_network, labels_at_input,
                       load_for_analysis)
from .images import (build_dataset, build_loader, class_ids, class_names,
                     class_palette, labelled_batches, read_image)
from .initial_weights import InitialWeights, measure_initial_weights
from .outputs import output_files, write_outputs
from .prototypes import (Activation, FeatureSpace, Prototypes, open_space,
                         prototype_heads)
from .tsne import Points, agreement, embed, nearest_prototypes, sample_points

__all__ = [
    'ActivatedImage', 'Activation', 'ClassScatter', 'FeatureReader',
    'FeatureSpace', 'InitialWeights', 'Points', 'Prototypes', 'VarianceTraces',
    'activate', 'agreement', 'build_dataset', 'build_loader',
    'choose_prototypes', 'class_ids', 'class_names', 'class_palette', 'embed',
    'find_network', 'labelled_batches', 'labels_at_input', 'load_for_analysis',
    'measure_initial_weights', 'nearest_prototypes', 'open_space',
    'output_files', 'prototype_heads', 'read_image', 'sample_points',
    'write_outputs'
]
