#!/bin/sh
# Keeps a folder and a bucket the same, and proves it.
#
#     sh examples/mirror.sh FOLDER BUCKET
#
# Needs rclone (Debian: rclone), and S3_ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set. Only what has changed
# travels, so run it as often as you like.
set -eu

folder=${1:?"Name a folder"}
bucket=${2:?"Name a bucket"}

export RCLONE_CONFIG=/dev/null
export RCLONE_CONFIG_SKY_TYPE=s3
export RCLONE_CONFIG_SKY_PROVIDER=Other
export RCLONE_CONFIG_SKY_ENV_AUTH=true
export RCLONE_CONFIG_SKY_ENDPOINT="${S3_ENDPOINT:?"Set S3_ENDPOINT, as in http://127.0.0.1:9000"}"

rclone mkdir "sky:$bucket"
rclone sync "$folder" "sky:$bucket"
# Fetches everything again and compares it byte for byte.
rclone check --download "$folder" "sky:$bucket"
rclone size "sky:$bucket"
