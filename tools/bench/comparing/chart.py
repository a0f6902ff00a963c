"""One measure as a bar chart in SVG: groups by number of nodes, a bar for each program, whiskers
from the lowest to the highest run."""

from xml.sax.saxutils import escape

WIDTH, HEIGHT = 680, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 78, 48
COLOURS = ["#0b6e99", "#d9822b"]  # told apart by the colour-blind, too
UNITS = {"s": "seconds", "ms/s": "milliseconds of CPU time a second", "B/s": "bytes a second",
         "1/s": "a second", "KB": "kilobytes", "MB": "megabytes"}
FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"


def nice_step(top):
    """A round step that gives four to eight lines up to `top`."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if top / (step * factor) <= 6:
                return step * factor
        step *= 10


def short(value):
    """Three digits that matter, without an exponent."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def text(x, y, words, size=13, anchor="middle", weight="normal", colour="#222"):
    return (f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}' text-anchor='{anchor}' "
            f"font-weight='{weight}' fill='{colour}'>{escape(words)}</text>")


def bar_chart(title, unit, groups, programs):
    """groups: [(label, [(median, low, high) or None for each program])]."""
    highest = max((bar[2] for _, bars in groups for bar in bars if bar), default=0) or 1
    step = nice_step(highest)
    top = step * (int(highest * 1.08 / step) + 1)
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def y_of(value):
        return TOP + plot_height * (1 - value / top)

    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' "
           f"viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(title)}'>",
           f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>",
           text(LEFT - 50, 24, title, 15, "start", "bold")]
    out += legend(programs)
    axis = f"{UNITS[unit]}, lower is better" if unit else "lower is better"
    out.append(text(LEFT - 50, 68, axis, 12, "start", colour="#555"))
    for i in range(int(top / step + 0.5) + 1):
        y = y_of(i * step)
        out.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' "
                   f"stroke='{'#333' if i == 0 else '#ddd'}'/>")
        out.append(text(LEFT - 8, y + 4, short(i * step), 12, "end", colour="#555"))
    slot = plot_width / len(groups)
    width = min(70, slot * 0.8 / len(programs))
    for g, (label, bars) in enumerate(groups):
        middle = LEFT + slot * (g + 0.5)
        out.append(text(middle, HEIGHT - BOTTOM + 22, label))
        for b, bar in enumerate(bars):
            x = middle + width * (b - len(bars) / 2)
            out += one_bar(x, width, bar, y_of, COLOURS[b])
    out.append("</svg>")
    return "\n".join(out) + "\n"


def legend(programs):
    out, x = [], LEFT - 50
    for colour, name in zip(COLOURS, programs):
        out.append(f"<rect x='{x}' y='36' width='14' height='14' fill='{colour}'/>")
        out.append(text(x + 20, 48, name, 13, "start"))
        x += 44 + 8 * len(name)
    return out


def one_bar(x, width, bar, y_of, colour):
    inner, base = width * 0.86, y_of(0)
    if bar is None:
        return [text(x + inner / 2, base - 6, "not reached", 11, colour="#777")]
    value, low, high = bar
    out = [f"<rect x='{x:.1f}' y='{y_of(value):.1f}' width='{inner:.1f}' "
           f"height='{max(base - y_of(value), 0.8):.1f}' fill='{colour}'/>"]
    middle = x + inner / 2
    if high > low:
        out.append(f"<path d='M{middle:.1f} {y_of(low):.1f}V{y_of(high):.1f}"
                   f"M{middle - 5:.1f} {y_of(high):.1f}h10M{middle - 5:.1f} {y_of(low):.1f}h10' "
                   "stroke='#222' fill='none'/>")
    out.append(text(middle, y_of(max(high, value)) - 6, short(value), 12))
    return out
