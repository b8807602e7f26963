"""Model families under one contract: fit on rows of a shared matrix, score, save natively, export to ONNX."""
