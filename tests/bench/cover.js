// Lays the same content over any page: what a student's screen looks like, under the stamp.
const cover = document.createElement('div');
cover.style.cssText = 'position:fixed;inset:0;z-index:2147483646;background:#fbfaf5;color:#222;font:26px/1.5 serif;'
  + 'padding:13vh 40px 0;columns:2;overflow:hidden;pointer-events:none';
cover.textContent = 'When, in the course of a lesson, a teacher asks for the screen of one student, the picture has to be '
  + 'there before the class has turned its heads. This is what such a screen looks like: writing that must stay sharp and '
  + 'little that moves. 7 × 8 = 56 · 12 + 19 = 31 · √144 = 12 · (a + b)² = a² + 2ab + b² · 3.14159265358979 '
  + '床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。'
  + 'The quick brown fox jumps over the lazy dog, and the five boxing wizards jump quickly, because pages of letters are '
  + 'hard for an encoder and easy for a reader. '.repeat(4);
document.documentElement.append(cover);
showStamp(30);
