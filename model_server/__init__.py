"""The offline model server: answers on the wire as tensorflow_model_server does, for CPU SavedModels."""
