"""The folder that a sweep lives in: who may write, what lies where and must look how, checkpoints and tables."""
