import { describe, expect, it } from 'vitest';
import { bytesWords, found, type Item } from './library';

const item = (title: string) => ({ title }) as Item;

describe('the shelf', () => {
  it('finds titles by all words in any order', () => {
    const items = [item('第三課 分數'), item('Photosynthesis 光合作用'), item('分數 練習')];
    expect(found(items, ' 分數 第三課').map((of) => of.title)).toEqual(['第三課 分數']);
    expect(found(items, 'PHOTO')).toHaveLength(1);
    expect(found(items, '')).toHaveLength(3);
    expect(found(items, 'x')).toHaveLength(0);
  });

  it('says sizes as people do', () => {
    expect(bytesWords(1)).toBe('1 MB');
    expect(bytesWords(2_400_000_000)).toBe('2.4 GB');
  });
});
