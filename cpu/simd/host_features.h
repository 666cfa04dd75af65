// SPDX-License-Identifier: Apache-2.0
// What the host's vector units can do, and what a model needs of them: thunks run the guest's own
// instructions. Everything else of a model we compute ourselves.
#pragma once

#include "cpu/model.h"

namespace postern::cpu {

/// Of the features that thunks need, those that the host has and its system lets programs use.
FeatureSet host_features();

/// True: `host` lacks something that the model needs; `feature` is the first such.
bool lacks_feature(const FeatureSet& host, const Model& model, Feature& feature);

/// The named model with the most features that runs on `host`; null: none does.
const Model* best_model(const FeatureSet& host);

}  // namespace postern::cpu
