#!/usr/bin/env python3
"""Counts months and semesters a second time, from the text of the rules alone (appliance/core/src/figures/RULES.md).

usage: month.py < cases.json > figures.json
Reads a list of cases {facts, calendar, parameters, month, today, semester, class} and writes for each {month, semester}; of
the whole school where class is null.
Nothing but the standard library; no line of it comes from the program that it checks. Where that merges stretches, this
sweeps over their edges.
"""
import datetime
import json
import sys
from collections import defaultdict

ZONE = datetime.timezone(datetime.timedelta(hours=8))
ONE = datetime.timedelta(days=1)


def date(text):
    return datetime.date.fromisoformat(text)


def midnight(day):
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp()) * 1000


def dates(first, last):
    while first <= last:
        yield first
        first += ONE


def last_of_month(first):
    return (first.replace(day=28) + 4 * ONE).replace(day=1) - ONE


class Calendar:
    def __init__(self, spec):
        self.terms = [(date(term["from"]), date(term["to"])) for term in spec["terms"]]
        self.off = {date(day) for day in spec["holidays"]}
        self.instead = {date(day): weekday for day, weekday in spec["make_up"].items()}
        self.bells = {int(weekday): windows for weekday, windows in spec["timetable"].items()}

    def lessons(self, day):
        """Stretches of milliseconds in which there are lessons."""
        if day in self.instead:
            weekday = self.instead[day]
        elif day in self.off or not any(first <= day <= last for first, last in self.terms):
            return []
        else:
            weekday = day.isoweekday()

        def moment(clock):
            hour, minute = clock.split(":")
            return midnight(day) + (int(hour) * 60 + int(minute)) * 60000

        return [(moment(w["from"]), moment(w["to"])) for w in self.bells.get(weekday, [])]

    def school(self, day):
        return day in self.instead or bool(self.lessons(day))

    def weeks(self, first, last, today):
        """Teaching weeks whose Thursday lies between the two days."""
        found = []
        for thursday in (day for day in dates(first, last) if day.isoweekday() == 4):
            week = [day for day in dates(thursday - 3 * ONE, thursday + 3 * ONE) if day <= today]
            if any(self.school(day) for day in week):
                found.append(week)
        return found


def covered(stretches, first, last, without=()):
    """Milliseconds between first and last that some stretch covers, less what `without` covers."""
    edges = []
    for weight, parts in ((1, stretches), (1000000, without)):
        for begin, end in parts:
            begin, end = max(begin, first), min(end, last)
            if begin < end:
                edges.append((begin, weight))
                edges.append((end, -weight))
    edges.sort()
    total = depth = 0
    for (at, step), following in zip(edges, edges[1:] + [(last, 0)]):
        depth += step
        if 0 < depth < 1000000:
            total += following[0] - at
    return total


def share(used, counted):
    return used * 10000 // counted


def figure(rate):
    used, unknown = rate["used"], rate["unknown"]
    counted = used + rate["unused"] + unknown
    if counted == 0:
        return {"is": "unknown", "why": "no-devices"}
    if unknown == counted:
        return {"is": "unknown", "why": "nothing-seen"}
    if unknown == 0:
        return {"is": "known", "share": share(used, counted)}
    return {"is": "between", "least": share(used, counted), "most": share(used + unknown, counted)}


def mean(figures):
    there = [f for f in figures if f.get("why") != "no-devices"]
    if not there:
        return {"is": "unknown", "why": "no-devices" if figures else "no-periods"}
    if all(f["is"] == "unknown" for f in there):
        return {"is": "unknown", "why": "nothing-seen"}
    low = {"known": lambda f: f["share"], "between": lambda f: f["least"], "unknown": lambda f: 0}
    high = {"known": lambda f: f["share"], "between": lambda f: f["most"], "unknown": lambda f: 10000}
    least = sum(low[f["is"]](f) for f in there) // len(there)
    most = sum(high[f["is"]](f) for f in there) // len(there)
    if all(f["is"] == "known" for f in there):
        return {"is": "known", "share": least}
    return {"is": "between", "least": least, "most": most}


def points(fig):
    if fig["is"] == "unknown":
        return None
    bands = [(10000, 5), (9800, 4), (9500, 3), (9200, 2), (9000, 1), (0, 0)]
    low, high = (next(p for least, p in bands if fig.get(key, fig.get("share")) >= least) for key in ("least", "most"))
    return low if low == high else None


class Count:
    def __init__(self, case, cls=None):
        self.facts, self.rules, self.cls = dict(case["facts"]), case["parameters"], cls
        self.calendar, self.today = Calendar(case["calendar"]), date(case["today"])
        self.records = [dict(r, number=n, end=r["at"] + r["seconds"] * 1000) for n, r in enumerate(self.facts["activities"])]
        for record in self.records:
            if record["device"] is None and record["student"] is not None:
                record["device"] = self.lent_to(record["student"], record["at"])
        if cls is not None:
            self.keep_class()
        self.of_device = defaultdict(list)
        for record in self.records:
            if record["device"] is not None:
                self.of_device[record["device"]].append((record["at"], record["end"]))
        self.minutes = {}

    @staticmethod
    def day_of(at):
        return datetime.datetime.fromtimestamp(at // 1000, ZONE).date()

    def keep_class(self):
        """Leaves what is of the class; which class a device is of is asked for day by day."""
        self.naming = defaultdict(list)
        for record in self.records:
            if record["device"] is not None and record["class"] is not None:
                self.naming[record["device"]].append((record["at"], record["number"], self.day_of(record["at"]), record["class"]))
        self.classes = {}
        by_id = {device["id"]: device for device in self.facts["devices"]}

        def own(record):
            if record["class"] is not None:
                return record["class"] == self.cls
            device = by_id.get(record["device"])
            return device is not None and self.class_of(device, self.day_of(record["at"])) == self.cls

        self.records = [record for record in self.records if own(record)]
        self.facts["lessons"] = [lesson for lesson in self.facts["lessons"] if lesson["class"] == self.cls]

    def class_of(self, device, day):
        key = device["id"], day
        if key not in self.classes:
            self.classes[key] = self.find_class(device, day)
        return self.classes[key]

    def find_class(self, device, day):
        begins = [date(loan["days"]["from"]) for loan in device["loans"]]
        if not begins and device["class"] is None:
            return None
        number = max(sum(first <= day for first in begins) - 1, 0)

        def of_loan(when):
            return max(sum(first <= when for first in begins) - 1, 0) == number

        same = sorted(entry for entry in self.naming[device["id"]] if of_loan(entry[2]))
        before = [entry for entry in same if entry[2] <= day]
        if before:
            return before[-1][3]
        return same[0][3] if same else device["class"]

    def lent_to(self, student, at):
        day = self.day_of(at)
        for device in self.facts["devices"]:
            if self.within([loan["days"] for loan in device["loans"] if loan["student"] == student], day):
                return device["id"]
        return None

    def duty(self, device, day):
        holds = [duty for days, duty in device["duties"] if date(days["from"]) <= day <= date(days["to"])]
        good = bool(holds) and holds[-1] == "in-use"
        return good and (self.cls is None or self.class_of(device, day) == self.cls)

    @staticmethod
    def within(spans, day):
        return any(date(span["from"]) <= day <= date(span["to"]) for span in spans)

    def active(self, device, day, after_class):
        key = (device["id"], day, after_class)
        if key not in self.minutes:
            lessons = self.calendar.lessons(day) if after_class else ()
            self.minutes[key] = covered(self.of_device[device["id"]], midnight(day), midnight(day + ONE), lessons)
        return self.minutes[key]

    def counting(self, days, after_class=False):
        def good(device, day):
            return self.duty(device, day) and (not after_class or self.within([loan["days"] for loan in device["loans"]], day))

        return [d for d in self.facts["devices"] if sum(good(d, day) for day in days) > len(days) / 2]

    def verdict(self, device, days, rule, after_class=False, ahead=0):
        busy = [day for day in days if self.active(device, day, after_class) >= rule["minutes"] * 60000]
        hidden = [day for day in days if day not in busy and not self.within(device["seen"], day)]
        if len(busy) >= rule["days"]:
            return "used"
        return "unused" if len(busy) + len(hidden) + ahead < rule["days"] else "unknown"

    def rate(self, days, rule, after_class=False, ahead=0):
        verdicts = [self.verdict(d, days, rule, after_class, ahead) for d in self.counting(days, after_class)]
        return {word: verdicts.count(word) for word in ("used", "unused", "unknown")}

    def rates(self, days, period, ahead, after_class=False):
        """Of the days that have happened; so many more of the period are ahead."""
        return {view: self.rate(days, self.rules[period][view], after_class, ahead) for view in ("plain", "strict")}

    def owner(self, record):
        if record["device"] is not None:
            return "device", record["device"]
        if record["student"] is not None:
            return "student", record["student"]
        return "record", record["number"]

    def hours(self, days):
        duties = [self.within(d["seen"], day) for d in self.facts["devices"] for day in days if self.duty(d, day)]
        complete = len(duties) > 0 and False not in duties
        named = self.facts["platforms"]
        others = sorted({r["platform"] for r in self.records} - set(named) - {None})
        lines = []
        for platform in named + others:
            own = defaultdict(list)
            for record in self.records:
                if record["platform"] == platform:
                    own[self.owner(record)].append((record["at"], record["end"]))
            times = []
            if days:
                times = [covered(parts, midnight(days[0]), midnight(days[-1] + ONE)) for parts in own.values()]
            seconds = sum(times) // 1000
            if seconds or platform in named:
                users = sum(time > 0 for time in times)
                lines.append({"platform": platform, "seconds": seconds, "users": users, "complete": complete})
        return lines

    def unseen(self, weeks):
        days = [day for week in weeks for day in week]
        return sum(self.calendar.school(day) and not self.within(self.facts["box_ran"], day) for day in days)

    def teachers(self, weeks, goal):
        days = [day for week in weeks for day in week]
        unseen = self.unseen(weeks)
        enough = self.rules["month"]["plain"]["minutes"] * 60000
        held = [lesson for lesson in self.facts["lessons"] if lesson["from"] < lesson["to"]]
        lines = []
        for teacher in sorted({lesson["teacher"] for lesson in held}):
            good = 0
            for day in days:
                begin, end = midnight(day), midnight(day + ONE)
                today = [x for x in held if x["teacher"] == teacher and x["from"] < end and x["to"] > begin]
                good += any(self.busy_lesson(cls, [x for x in today if x["class"] == cls], begin, end, enough)
                            for cls in {x["class"] for x in today})
            reached = True if good >= goal else (False if good + unseen < goal else None)
            lines.append({"teacher": teacher, "days": good, "unseen": unseen, "goal": goal, "reached": reached})
        return lines

    def busy_lesson(self, cls, lessons, begin, end, enough):
        own = defaultdict(list)
        for record in self.records:
            if record["class"] == cls and record["at"] < end and record["end"] > begin:
                # Its part within each lesson; the union of these parts is what counts.
                for lesson in lessons:
                    own[self.owner(record)].append((max(record["at"], lesson["from"]), min(record["end"], lesson["to"])))
        return any(covered(parts, begin, end) >= enough for parts in own.values())

    def devices(self, days, ahead):
        lines = []
        rule = self.rules["month"]
        for device in self.counting(days):
            busy = sum(self.active(device, day, False) >= rule["plain"]["minutes"] * 60000 for day in days)
            lines.append({
                "device": device["id"],
                "used": {view: self.verdict(device, days, rule[view], ahead=ahead) for view in ("plain", "strict")},
                "active_days": busy,
                "seconds": sum(self.active(device, day, False) for day in days) // 1000,
                "unseen_days": sum(self.duty(device, day) and not self.within(device["seen"], day) for day in days),
            })
        return lines

    def week_lines(self, weeks):
        return [{"monday": str(week[0]), "rate": self.rates(week, "week", 7 - len(week))} for week in weeks]

    def month(self, name):
        first = date(name + "-01")
        last = last_of_month(first)
        days = list(dates(first, min(last, self.today)))
        weeks = self.calendar.weeks(first, last, self.today)
        ahead = last.day - len(days)
        used, after = self.rates(days, "month", ahead), self.rates(days, "month", ahead, True)
        lines = self.week_lines(weeks)
        one_day = {"minutes": self.rules["month"]["plain"]["minutes"], "days": 1}
        return {
            "month": name,
            "until": str(days[-1]) if days else None,
            "parameters": self.rules,
            "used": used,
            "used_share": {view: figure(rate) for view, rate in used.items()},
            "after_class": after,
            "after_class_share": {view: figure(rate) for view, rate in after.items()},
            "weeks": lines,
            "week_mean": means(line["rate"] for line in lines),
            "days": [{"day": str(d), "school": self.calendar.school(d), "rate": self.rate([d], one_day)} for d in days],
            "platforms": self.hours(days),
            "teachers": self.teachers(weeks, len(weeks)),
            "unseen_days": self.unseen(weeks),
            "devices": self.devices(days, ahead),
        }

    def semester(self, span):
        first, last = date(span["from"]), date(span["to"])
        months, begin = [], first
        while begin <= min(last, self.today):
            days = list(dates(begin, min(last_of_month(begin), self.today)))
            ahead = last_of_month(begin).day - len(days)
            months.append({
                "month": f"{begin:%Y-%m}",
                "used": self.rates(days, "month", ahead),
                "after_class": self.rates(days, "month", ahead, True),
            })
            begin = last_of_month(begin) + ONE
        weeks = self.calendar.weeks(first, last, self.today)
        month_mean = means(month["used"] for month in months)
        return {
            "days": span,
            "until": str(min(last, self.today)),
            "parameters": self.rules,
            "months": months,
            "month_mean": month_mean,
            "points": points(month_mean["plain"]),
            "after_class_mean": means(month["after_class"] for month in months),
            "week_mean": means(line["rate"] for line in self.week_lines(weeks)),
            "weeks": len(weeks),
            "unseen_days": self.unseen(weeks),
            "teachers": self.teachers(weeks, 16),
        }


def means(rates):
    rates = list(rates)
    return {view: mean([figure(rate[view]) for rate in rates]) for view in ("plain", "strict")}


def main():
    results = []
    for case in json.load(sys.stdin):
        count = Count(case, case["class"])
        month = count.month(case["month"])
        if case["class"] is not None:
            month["teachers"] = Count(case).month(case["month"])["teachers"]
        results.append({"month": month, "semester": count.semester(case["semester"])})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
