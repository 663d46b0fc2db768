"""Pictures: geometry of boxes, detector heads, quality, drawing. Arrays in, arrays out."""
