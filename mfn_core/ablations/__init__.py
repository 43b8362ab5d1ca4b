"""Many runs of one small model that differ in a setting each: trained side by side, measured alike, judged together.

Puts training and evaluation together: a grid says what is trained, the trainer that exists trains it, the measures that
exist measure it, and one evidence document holds what came out.
"""
