import { describe, expect, it } from 'vitest';
import type { SeatView } from './protocol';
import { parseRoster, rosterText, sourceOf, studentsOf, wishes } from './roster';

const students = (text: string) => studentsOf(parseRoster(text));
const troubles = (text: string) => parseRoster(text).map((row) => row.trouble);

describe('a pasted class list', () => {
  it('reads two columns of a spreadsheet, with a heading', () => {
    expect(students('座號\t姓名\r\n2\t陳怡君\r\n1\t王小明\r\n')).toEqual([
      { seat: 1, name: '王小明' },
      { seat: 2, name: '陳怡君' },
    ]);
  });

  it('keeps names of several parts and of Latin letters whole', () => {
    expect(students('20 林莎瓦·巴魯·阿里夫\n33 Kolas Yotaka')).toEqual([
      { seat: 20, name: '林莎瓦·巴魯·阿里夫' },
      { seat: 33, name: 'Kolas Yotaka' },
    ]);
  });

  it('takes full-width digits, other separators, a word behind the number, and leading zeros', () => {
    expect(students('３，林志豪\n4號、張雅婷\n05;李承恩\n6. 黃詩涵\n7\t"吳宗翰"')).toEqual([
      { seat: 3, name: '林志豪' },
      { seat: 4, name: '張雅婷' },
      { seat: 5, name: '李承恩' },
      { seat: 6, name: '黃詩涵' },
      { seat: 7, name: '吳宗翰' },
    ]);
  });

  it('numbers a column of names alone', () => {
    expect(students('王小明\n林莎瓦·巴魯·阿里夫\nKolas Yotaka')).toEqual([
      { seat: 1, name: '王小明' },
      { seat: 2, name: '林莎瓦·巴魯·阿里夫' },
      { seat: 3, name: 'Kolas Yotaka' },
    ]);
  });

  it('names what is wrong with a row and keeps the others', () => {
    const text = `1\t王小明\n1\t重複\n\t沒有座號\n100\t太大\n0\t零\n9\t\n8\t${'長'.repeat(61)}\n2\t陳怡君`;
    expect(troubles(text)).toEqual([null, 'twice', 'seat', 'seat', 'seat', 'name', 'long', null]);
    expect(students(text).map(({ seat }) => seat)).toEqual([1, 2]);
  });

  it('drops characters that turn or hide text', () => {
    expect(students('1\t王\u202e小\u200b明')).toEqual([{ seat: 1, name: '王小明' }]);
  });

  it('is the same after editing nothing', () => {
    const list = [
      { seat: 1, name: '王小明' },
      { seat: 20, name: '林莎瓦·巴魯·阿里夫' },
    ];
    expect(students(rosterText(list))).toEqual(list);
  });

  it('is empty for nothing', () => {
    expect(parseRoster(' \n\n\t\n')).toEqual([]);
  });
});

describe('seats', () => {
  const seat = (number: number, sharing: SeatView['sharing'], asked_at: number | null): SeatView => ({
    seat: number,
    name: '',
    taken: true,
    online: true,
    sharing,
    asked_at,
    tile: null,
    thumbnail: null,
    home: null,
  });

  it('puts who waits longest first', () => {
    const seats = [seat(1, 'asking', 30), seat(2, 'live', null), seat(3, 'asking', 10), seat(4, 'asking', 10)];
    expect(wishes(seats).map((wish) => wish.seat)).toEqual([3, 4, 1]);
  });

  it('names the source of a seat as the hub does', () => {
    expect([sourceOf(7), sourceOf(40)]).toEqual(['seat-07', 'seat-40']);
  });
});
