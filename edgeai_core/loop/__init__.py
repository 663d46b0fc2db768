"""The real-time loop: releases, snapshots, deadlines, degradation, statistics."""
