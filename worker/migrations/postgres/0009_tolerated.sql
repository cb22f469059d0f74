-- What is wrong with a file although its picture is whole: a JSON array of words. Null where nothing was decoded since.
alter table asset add column tolerated text;
