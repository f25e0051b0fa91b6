from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()
scheduler.start()
for name in "abc":
    scheduler.add_job(print, "interval", hours=1, id=name)
try:
    scheduler.add_job(print, "interval", hours=1, id="a")
except ConflictingIdError:
    print("there is an a")
scheduler.remove_job("a")
scheduler.get_job("b").remove()
try:
    scheduler.remove_job("a")
except JobLookupError:
    print("there is no a")
print([job.id for job in scheduler.get_jobs()], scheduler.get_job("a"))
scheduler.remove_all_jobs()
print(scheduler.get_jobs())
scheduler.shutdown()
