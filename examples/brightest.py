#!/usr/bin/env python3
"""The ten brightest stars of the catalogue, and a list of them put beside it.

    python3 examples/brightest.py

Needs boto3 (Debian: python3-boto3), and S3_ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set.
"""

import csv
import io
import json
import os

import boto3
from botocore.config import Config

s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["S3_ENDPOINT"],
    region_name="us-east-1",
    config=Config(s3={"addressing_style": "path"}),
)

# The body is read as it comes: the catalogue is never in memory as a whole.
body = s3.get_object(Bucket="sky", Key="stars.csv")["Body"]
stars = csv.DictReader(io.TextIOWrapper(body, encoding="utf-8"))
brightest = sorted(stars, key=lambda star: float(star["mag"]))[:10]
for star in brightest:
    print(f'{star["mag"]:>6}  {star["name"]} ({star["constellation"]})')

s3.put_object(
    Bucket="sky",
    Key="brightest.json",
    Body=json.dumps(brightest).encode(),
    ContentType="application/json",
    Metadata={"from": "stars.csv"},
)
print("Stored as so://sky/brightest.json")
