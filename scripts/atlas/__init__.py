"""What it takes to write an atlas, the labels that ship with a model, and to check one. See docs/how-to/atlas.md.

python -m scripts.atlas dossier MODEL --db DB --layer 3 --features 0-40 > to-label.txt
python -m scripts.atlas merge part-*.jsonl -o demo/atlas.jsonl --model demo/model --how "…"
python -m scripts.atlas check demo/atlas.jsonl MODEL --db HELD-OUT-DB --sample 60 --seed 1 > to-judge.txt
python -m scripts.atlas tally verdicts.jsonl --atlas demo/atlas.jsonl --json atlas.json
python -m scripts.atlas quiz demo/atlas.jsonl MODEL held-out.jsonl --key key.json --db DB --seed 1 > quiz.txt
python -m scripts.atlas score key.json answers.jsonl --json detection.json
"""
