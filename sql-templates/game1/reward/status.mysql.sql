CALL daily_reward_status(:player_id, :day, :streak, :last_day, :may_claim)
