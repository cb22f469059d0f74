# Two commands. Both first run .ci/setup, which installs what is missing and says why.
#
#   make run              ingest the sample pictures, print what was found, serve the review page
#   PHOTOS=dir make run   the same with your own folder
#   SERVE=0 make run      end after the table
#   make test             every check and every test

.PHONY: run test

run:
	@.ci/start

test:
	@.ci/test
