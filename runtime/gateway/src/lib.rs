//! Public HTTP in front of modules.
