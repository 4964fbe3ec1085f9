/** School semesters in Taiwan: 1 August to 31 January, 1 February to 31 July. Dates as `YYYY-MM-DD`. */
export function semesterOf(day: Date): { from: string; to: string } {
  const year = day.getFullYear();
  const month = day.getMonth() + 1;
  if (month >= 8) return { from: `${year}-08-01`, to: `${year + 1}-01-31` };
  if (month === 1) return { from: `${year - 1}-08-01`, to: `${year}-01-31` };
  return { from: `${year}-02-01`, to: `${year}-07-31` };
}
