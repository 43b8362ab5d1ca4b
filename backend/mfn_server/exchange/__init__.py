"""An index and labels in formats that others read: parquet tables, and the files of Neuronpedia."""
