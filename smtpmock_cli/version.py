"""What this build is. A release build writes the last two; a checkout does not know them."""

VERSION = "2.6.0"
COMMIT = "unknown"
BUILT_AT = "unknown"
